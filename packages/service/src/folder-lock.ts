import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessIdentity } from './process-identity.ts'
import { identifyProcess, isAlive } from './process-identity.ts'
import { readTextIfPresent, writeWhole } from './whole-file.ts'

/** The process that holds the folder, and the processes it started. */
interface LockRecord {
  readonly holder: ProcessIdentity
  readonly children: Readonly<Record<string, ProcessIdentity>>
}

/** The lock of a folder that belongs to this process alone until it is released or the process ends. */
export interface FolderLock {
  /** Processes that a killed holder started and that may still be ending. */
  readonly orphans: readonly ProcessIdentity[]
  /** Records the processes that a later start has to wait for, by name. */
  setChildren(children: Readonly<Record<string, ProcessIdentity>>): void
  /** Releases the folder. Further calls do nothing, and a later holder's lock stays. */
  release(): void
}

/** Thrown when a folder has a living holder; the message, in one line, names both. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'
}

/**
 * Locks `folder` for this process with its file `fileName`. The lock names its holder by process number and start, so the
 * lock of a killed process needs no cleaning up. Throws FolderInUseError while another holder lives, which may be in this
 * process.
 */
export function lockFolder(folder: string, fileName: string): FolderLock {
  const path = join(folder, fileName)
  const holder = identifyProcess(process.pid)
  if (!holder) throw new Error('/proc is not mounted, and Atoll cannot do without it')
  const mine = (children: LockRecord['children']) => JSON.stringify({ holder, children } satisfies LockRecord)
  let orphans: ProcessIdentity[] = []
  while (!tryCreate(path, mine({}))) {
    const found = readTextIfPresent(path)
    if (found === undefined) continue
    const record = parseLock(found)
    if (record && isAlive(record.holder)) {
      throw new FolderInUseError(`data folder ${folder} is in use by another Atoll (process ${record.holder.pid})`)
    }
    orphans = Object.values(record?.children ?? {}).filter(isAlive)
    removeIfUnchanged(path, found)
  }
  let isHeld = true
  return {
    orphans,
    setChildren: (children) => writeWhole(path, mine(children)),
    release() {
      if (isHeld) rmSync(path, { force: true })
      isHeld = false
    },
  }
}

/** Creates the lock file by a hard link, so that any other process finds it only when it is complete. */
function tryCreate(path: string, text: string): boolean {
  const complete = `${path}.${process.pid}`
  writeFileSync(complete, text, { mode: 0o600 })
  try {
    linkSync(complete, path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  } finally {
    rmSync(complete, { force: true })
  }
}

/** Removes a stale lock. Two starts may find the same one: the slower must not remove the lock that the faster took. */
function removeIfUnchanged(path: string, expected: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    if (readTextIfPresent(aside) !== expected) linkSync(aside, path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    // The lock is gone, or was taken again meanwhile: the next attempt finds out.
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

function parseLock(text: string): LockRecord | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isLockRecord(value) ? value : undefined
  } catch {
    // The holder was killed while it wrote the file for the first time.
    return undefined
  }
}

function isLockRecord(value: unknown): value is LockRecord {
  if (!isRecord(value) || !isIdentity(value['holder']) || !isRecord(value['children'])) return false
  return Object.values(value['children']).every(isIdentity)
}

function isIdentity(value: unknown): value is ProcessIdentity {
  return isRecord(value) && Number.isSafeInteger(value['pid']) && typeof value['start'] === 'string'
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
