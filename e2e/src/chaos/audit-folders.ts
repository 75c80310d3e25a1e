import { join } from 'node:path'
import { names } from './host-paths.ts'
import type { SandboxRow, SystemRows } from './system-rows.ts'

/** Of a sandbox whose files are there. */
const SANDBOX_FILES = ['sandbox.json', 'disk.img']
/** What archives are packed and unpacked with, for that time. */
const HALF_DONE = /^draft|^scratch-|\.draft-/
/** An archive that goes out or comes in, by the backup's id, and the facts about it. */
const ARCHIVE = /^(?:out|in)-([0-9a-f-]{36})(?:\.json|\.unpacked)?$/

/** What a runner keeps in folders against the rows of its sandboxes. One line for each fault. */
export function auditFolders(runner: string, rows: SystemRows): string[] {
  const sandboxes = join(runner, 'sandboxes')
  const wanted = new Set(idsOf(rows, (row) => hasFiles(row)))
  // What failed to be made may be there or not.
  const allowed = new Set(idsOf(rows, ({ state, runnerId }) => state === 'error' && runnerId !== null))
  const found = names(sandboxes)
  return [
    ...found.filter((id) => !wanted.has(id) && !allowed.has(id)).map((id) => `folder sandboxes/${id} has no owner`),
    ...[...wanted].filter((id) => !found.includes(id)).map((id) => `${id} has no folder on its runner`),
    ...found.flatMap((id) => auditArchives(sandboxes, id, rows)),
    ...[...wanted]
      .filter((id) => found.includes(id))
      .flatMap((id) => missingFiles(join(sandboxes, id)).map((name) => `${id} has no ${name}`)),
    ...['layers', 'snapshots', 'volumes'].flatMap((folder) =>
      names(join(runner, folder))
        .filter((name) => name.includes('draft'))
        .map((name) => `left behind: ${folder}/${name}`),
    ),
  ]
}

/** In a sandbox's folder of archives lies what is of one of its backups, whole. */
function auditArchives(sandboxes: string, id: string, { backups }: SystemRows): string[] {
  const own = backups.filter(({ sandboxId }) => sandboxId === id).map((backup) => backup.id)
  return names(join(sandboxes, id, 'archives'))
    .filter((name) => HALF_DONE.test(name) || !own.includes(ARCHIVE.exec(name)?.[1] ?? ''))
    .map((name) => `left behind: sandboxes/${id}/archives/${name}`)
}

function missingFiles(folder: string): string[] {
  return SANDBOX_FILES.filter((name) => !names(folder).includes(name))
}

/** Whether its runner has its disk. */
export function hasFiles({ state, recoverableTo }: SandboxRow): boolean {
  return state === 'started' || state === 'stopped' || (state === 'error' && recoverableTo === 'stopped')
}

function idsOf({ sandboxes }: SystemRows, which: (row: SandboxRow) => boolean): string[] {
  return sandboxes.filter(which).map(({ id }) => id)
}
