import { randomUUID } from 'node:crypto'
import type { RunnerClient } from '../../runners/runner-client.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import type { BackupObjects } from './backup-objects.ts'
import type { BackupStore } from './backup-store.ts'
import type { OnProgress } from './backup-transfer.ts'
import { BackupNotWantedError } from './backup-transfer.ts'
import { restoreFiles } from './restore-files.ts'
import { saveFiles } from './save-files.ts'
import type { UploadStore } from './upload-store.ts'

/** The longest copy to or from the object store, in milliseconds; a longer one is aborted and tried again. */
export const TRANSFER_DEADLINE_MS = 2 * 60 * 60 * 1000

export interface FilesMove {
  runner: RunnerClient
  row: SandboxRow
  /** The replica that holds the sandbox's lease. */
  leaseOwner: string
  signal: AbortSignal
  onProgress: OnProgress
}

/** Moves sandboxes' files between runners and the object store. Every call may be repeated after a crash inside it. */
export interface SandboxFiles {
  /** Moves the files from the runner, where nothing is left of the sandbox then. Returns false if the lease was lost. */
  archive(move: FilesMove): Promise<boolean>
  /** Copies the files into a sandbox that is made on its runner and has not been started. */
  restore(move: Omit<FilesMove, 'leaseOwner'>): Promise<void>
  /** Returns whether the archive that a row is being changed to is whole, though files may be left on its runner. */
  isSaved(row: SandboxRow): Promise<boolean>
}

export interface SandboxFilesOptions {
  store: BackupStore
  uploads: UploadStore
  objects: BackupObjects
}

export function createSandboxFiles(options: SandboxFilesOptions): SandboxFiles {
  const { store, uploads, objects } = options
  return {
    async archive(move) {
      const { runner, row, signal } = move
      // An earlier attempt may have saved the files, which may be gone from the runner already.
      if (!(await store.isSaved(row)) && !(await saveForArchive(options, move))) return false
      await runner.remove(row.id, signal)
      return true
    },
    isSaved: (row) => store.isSaved(row),
    async restore({ runner, row, signal, onProgress }) {
      const kept = await store.kept(row)
      if (kept === undefined) throw new Error(`sandbox ${row.id} is archived without a backup`)
      const parts = await uploads.parts(kept.id)
      await restoreFiles({ runner, objects, signal, onProgress }, { ...kept, parts, sandboxId: row.id })
    },
  }
}

/** Copies the files and records the backup. Returns false if the lease was lost. */
async function saveForArchive({ store, uploads, objects }: SandboxFilesOptions, move: FilesMove): Promise<boolean> {
  const { runner, row, leaseOwner, signal, onProgress } = move
  const id = await store.beginArchive(row, leaseOwner, { id: randomUUID(), leaseMs: TRANSFER_DEADLINE_MS })
  if (id === undefined) return false
  try {
    const backup = { id, sandboxId: row.id, owner: leaseOwner }
    const sum = await saveFiles({ runner, objects, uploads, signal, onProgress }, backup)
    return await store.keepForArchive(row, leaseOwner, { id, ...sum })
  } catch (error) {
    if (error instanceof BackupNotWantedError) return false
    throw error
  } finally {
    await store.release(id, leaseOwner)
  }
}
