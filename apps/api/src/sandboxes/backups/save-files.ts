import type { StagedArchive } from '@atoll/protocol'
import { MAX_PARTS } from '../../object-storage/object-store.ts'
import { backupKey, isUploadGone } from './backup-objects.ts'
import type { BackupSum } from './backup-store.ts'
import type { Backup, Transfer } from './backup-transfer.ts'
import { BackupDamagedError, BackupNotWantedError, createSummer, spanOf, through } from './backup-transfer.ts'
import type { BackupPart, BackupUpload, UploadStore, Writing } from './upload-store.ts'

/** The most uploads of one call: another one is begun when the object store no longer knows the first. */
const MAX_UPLOADS = 2

/** A backup that `owner` writes. */
export type WrittenBackup = Backup & Writing

export interface Saving extends Transfer {
  uploads: UploadStore
}

/**
 * Copies a sandbox's files from its runner to the object store, in parts, and reads them back; goes on where an earlier try
 * was interrupted. Throws BackupDamagedError after deleting the object, BackupNotWantedError, and the errors of the runner
 * and of the object store.
 */
export async function saveFiles(saving: Saving, backup: WrittenBackup): Promise<BackupSum> {
  const { runner, objects, uploads, signal, onProgress } = saving
  const staged = await runner.archives.stage({ sandboxId: backup.sandboxId, archiveId: backup.id }, signal)
  const key = backupKey(backup)
  for (let attempt = 1; ; attempt++) {
    const upload = await findUpload(saving, { backup, staged })
    const isThere = await moveParts(saving, { backup, staged, upload })
    // The parts may have been made one object just before a crash.
    if (isThere || (await objects.size(key)) === staged.bytes) break
    must(await uploads.forget(backup))
    onProgress(false)
    if (attempt === MAX_UPLOADS) throw new Error('the object store forgets uploads')
  }
  await readBack(saving, { backup, staged })
  return { bytes: staged.bytes, sha256: staged.sha256 }
}

interface Copy {
  backup: WrittenBackup
  staged: StagedArchive
}

/** Returns the upload of an earlier try, if that was of the same archive; else begins a new one. */
async function findUpload({ objects, uploads }: Saving, { backup, staged }: Copy): Promise<BackupUpload> {
  const known = await uploads.find(backup.id)
  if (known?.sha256 === staged.sha256) return known
  const key = backupKey(backup)
  if (known !== undefined) await objects.remove(key)
  const partBytes = partBytesOf(staged, objects.partBytes)
  const uploadId = await objects.begin(key)
  must(await uploads.begin(backup, { ...staged, uploadId, partBytes }))
  return { uploadId, partBytes, sha256: staged.sha256, parts: [] }
}

function partBytesOf({ bytes }: StagedArchive, least: number): number {
  let partBytes = least
  while (bytes > partBytes * MAX_PARTS) partBytes *= 2
  return partBytes
}

/** Moves the missing parts and makes one object of all. Returns false if the object store does not know the upload any more. */
async function moveParts(saving: Saving, copy: Copy & { upload: BackupUpload }): Promise<boolean> {
  const { backup, staged, upload } = copy
  const parts = new Map(upload.parts.map((part) => [part.number, part]))
  const total = Math.max(1, Math.ceil(staged.bytes / upload.partBytes))
  try {
    for (let number = 1; number <= total; number++) {
      if (parts.has(number)) continue
      const part = await movePart(saving, { ...copy, number })
      must(await saving.uploads.addPart(backup, part))
      parts.set(number, part)
      saving.onProgress(number < total)
    }
  } catch (error) {
    if (isUploadGone(error)) return false
    throw error
  }
  const named = [...parts.values()].sort((a, b) => a.number - b.number)
  return await saving.objects.complete({ uploadId: upload.uploadId, key: backupKey(backup) }, named)
}

async function movePart(
  { runner, objects, signal }: Saving,
  { backup, staged, upload, number }: Copy & { upload: BackupUpload; number: number },
): Promise<BackupPart> {
  const { start, end } = spanOf(number, { bytes: staged.bytes, partBytes: upload.partBytes })
  const bytes = end - start + 1
  const archive = { sandboxId: backup.sandboxId, archiveId: backup.id }
  const sent = createSummer()
  const source = through(await runner.archives.read(archive, { from: start, bytes }, signal), sent.stream)
  try {
    const target = { uploadId: upload.uploadId, key: backupKey(backup), number }
    const etag = await objects.putPart(target, source, bytes)
    return { number, etag, sha256: sent.sum().sha256 }
  } finally {
    source.destroy()
  }
}

/** Checks the backup by reading it back from the object store. */
async function readBack({ objects, uploads, signal }: Saving, { backup, staged }: Copy): Promise<void> {
  const key = backupKey(backup)
  const stored = createSummer()
  const copy = through(await objects.get(key, signal), stored.stream)
  try {
    for await (const _ of copy) signal.throwIfAborted()
  } finally {
    copy.destroy()
  }
  if (stored.sum().sha256 === staged.sha256) return
  must(await uploads.forget(backup))
  await objects.remove(key)
  throw new BackupDamagedError('the object store gave back other bytes than it was given')
}

function must(isStillWanted: boolean): void {
  if (!isStillWanted) throw new BackupNotWantedError()
}
