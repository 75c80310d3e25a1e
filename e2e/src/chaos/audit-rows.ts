import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { names } from './host-paths.ts'
import type { Ledger } from './ledger.ts'
import type { BackupRow, SandboxRow, SystemRows } from './system-rows.ts'

/**
 * Sandboxes against what was acknowledged: none is lost, none comes back, none is nobody's, and none waits in a warm pool
 * that shall be empty. One line for each fault.
 */
export function auditAcknowledged({ sandboxes }: SystemRows, ledger: Ledger): string[] {
  const asked = new Map(ledger.sandboxes.map((sandbox) => [sandbox.name, sandbox]))
  const found = new Map(sandboxes.map((row) => [row.id, row]))
  return [
    ...sandboxes
      .filter(({ name, isWarm, state }) => !asked.has(name) && !(isWarm && state === 'destroyed'))
      .map(({ name, id, state }) => `${name} (${id}), which is ${state}, was asked for by nobody`),
    ...ledger.sandboxes.flatMap(({ name, id, existence }) => {
      const row = id === undefined ? undefined : found.get(id)
      const what = `${name} (${id})`
      if (existence === 'there' && row === undefined) return [`${what} was acknowledged and has no row`]
      if (existence === 'there' && row?.state === 'destroyed') return [`${what} is destroyed, and nobody asked for it`]
      if (existence === 'gone' && row !== undefined && row.state !== 'destroyed') {
        return [`the deletion of ${what} was acknowledged, and it is ${row.state}`]
      }
      return []
    }),
  ]
}

/** What there still is after everything was deleted. One line for each. */
export function auditGone({ sandboxes, backups }: SystemRows): string[] {
  return [
    ...sandboxes
      .filter(({ state }) => state !== 'destroyed')
      .map(({ name, id, state }) => `${name} (${id}) is ${state}`),
    // What a replica that died was writing is taken away after its lease.
    ...backups
      .filter(({ state, isLeased }) => state !== 'discarded' || !isLeased)
      .map(({ id, sandboxId, state }) => `backup ${id} of ${sandboxId} is ${state}`),
  ]
}

/** Each row against what is stored elsewhere in the database and in the object store. One line for each fault. */
export async function auditRows(rows: SystemRows, dataDir: string): Promise<string[]> {
  const kept = rows.backups.filter(({ state }) => state === 'kept')
  const damaged = await Promise.all(kept.map((backup) => auditBackup(backup, rows, dataDir)))
  return [
    ...rows.sandboxes.flatMap((row) => auditRow(row, kept)),
    ...damaged.flat(),
    ...auditObjects(rows),
    ...auditObjectFiles(rows, dataDir),
  ]
}

function auditRow(row: SandboxRow, kept: readonly BackupRow[]): string[] {
  const what = `${row.name} (${row.id}), which is ${row.state}`
  const own = kept.filter(({ sandboxId }) => sandboxId === row.id)
  if (row.state === 'error' && !row.errorReason) return [`${what}, has no errorReason`]
  if (row.state === 'archived' && (own.length !== 1 || own[0]?.id !== row.backupId)) {
    return [`${what}, has ${own.length} backups, and names ${row.backupId}`]
  }
  return row.state === 'destroyed' && own.length > 0 ? [`${what}, has ${own.length} backups`] : []
}

async function auditBackup({ id, sandboxId, sha256 }: BackupRow, rows: SystemRows, dataDir: string): Promise<string[]> {
  const object = rows.objects.find(({ key }) => key.endsWith(`/${sandboxId}/${id}`))
  if (object === undefined) return [`backup ${id} of ${sandboxId} has no object`]
  if ((await digestOfFiles(dataDir, object.files)) === sha256) return []
  return [`the object of backup ${id} of ${sandboxId} is not what was stored`]
}

/** Objects and their files against the rows that own them. */
function auditObjects({ objects, uploads, objectFiles, backups }: SystemRows): string[] {
  const owners = new Set(backups.map(({ id }) => id))
  const held = new Set(objectFiles.filter(({ isHeld }) => isHeld).map(({ name }) => name))
  const isOwned = ({ key }: { key: string }) => owners.has(key.split('/')[2] ?? '')
  // An archive that was put off keeps its upload, and so does a discarded one until its lease is over.
  const used = new Set([...objects, ...uploads.filter(isOwned)].flatMap(({ files }) => files))
  return [
    ...objects
      .filter((object) => object.key.startsWith('sandbox-backups/') && !isOwned(object))
      .map(({ key }) => `object ${key} is of no backup`),
    ...[...used].filter((name) => !held.has(name)).map((name) => `file ${name} of an object is held by no row`),
    ...[...held].filter((name) => !used.has(name)).map((name) => `file ${name} is held by a row and of no object`),
  ]
}

/** Files of objects, whole or being written, against the rows that know of them. */
function auditObjectFiles(rows: SystemRows, dataDir: string): string[] {
  const folder = join(dataDir, 'objects')
  const known = new Set(rows.objectFiles.map(({ name }) => name))
  const complete = names(join(folder, 'files')).flatMap((part) => names(join(folder, 'files', part)))
  const there = new Set(complete)
  return [
    ...[...complete, ...names(join(folder, 'incoming'))]
      .filter((name) => !known.has(name))
      .map((name) => `file ${name} of the object store has no row`),
    ...rows.objectFiles
      .filter(({ name, isHeld }) => isHeld && !there.has(name))
      .map(({ name }) => `file ${name} of the object store is gone`),
  ]
}

async function digestOfFiles(dataDir: string, names: string[]): Promise<string | undefined> {
  const hash = createHash('sha256')
  for (const name of names) {
    const path = join(dataDir, 'objects/files', name.slice(0, 2), name)
    if (!existsSync(path)) return undefined
    await pipeline(createReadStream(path), hash, { end: false })
  }
  return hash.digest('hex')
}
