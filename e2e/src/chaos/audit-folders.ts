import { join } from 'node:path'
import { names } from './host-paths.ts'
import type { SandboxRow, SystemRows } from './system-rows.ts'

/** Of a sandbox whose files are there. */
const SANDBOX_FILES = ['sandbox.json', 'disk.img']
/** What archives are packed and unpacked with, for that time. */
const HALF_DONE = /^draft|^scratch-|\.draft-/
/** A runner that is away when a backup is forgotten keeps its archive for a day. That is seldom. */
const MAX_KEPT_ARCHIVES = 2
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
    ...auditArchives(sandboxes, rows),
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
function auditArchives(sandboxes: string, { backups }: SystemRows): string[] {
  const known = new Set(backups.map(({ id, sandboxId }) => `${sandboxId} ${id}`))
  const archives = names(sandboxes).flatMap((id) =>
    names(join(sandboxes, id, 'archives')).map((name) => ({ id, name, path: `sandboxes/${id}/archives/${name}` })),
  )
  const isOf = ({ id, name }: { id: string; name: string }) => known.has(`${id} ${ARCHIVE.exec(name)?.[1]}`)
  const halfDone = archives.filter(({ name }) => HALF_DONE.test(name))
  const nobodys = archives.filter((archive) => !HALF_DONE.test(archive.name) && !isOf(archive))
  return [...halfDone, ...(nobodys.length > MAX_KEPT_ARCHIVES ? nobodys : [])].map(({ path }) => `left behind: ${path}`)
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
