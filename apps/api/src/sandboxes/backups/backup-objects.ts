import type { Readable } from 'node:stream'
import { addAbortSignal } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { ByteSpan, NamedPart, ObjectStore, PartTarget } from '../../object-storage/object-store.ts'

/** The bytes of a part: the most that is moved again after a crash, and that is held in memory for S3. */
const PART_BYTES = 16 * 1024 ** 2

/** The object store of backups. The object of a key is whole or absent. */
export interface BackupObjects {
  /** The bytes of every part but the last; parts are larger where a backup would have too many. */
  readonly partBytes: number
  /** Begins an upload, which outlives crashes, and returns its id. Ends every other upload to the key. */
  begin(key: string): Promise<string>
  /** Stores a part of exactly `bytes` and returns its etag. Throws OBJECT_UPLOAD_NOT_FOUND. */
  putPart(target: PartTarget, source: Readable, bytes: number): Promise<string>
  /** Makes one object of the parts. Returns false if there is no such upload, maybe because it was completed before. */
  complete(target: Omit<PartTarget, 'number'>, parts: readonly NamedPart[]): Promise<boolean>
  /** Returns the bytes of the object; undefined for an unknown key. */
  size(key: string): Promise<number | undefined>
  /** Returns the object or a span of it. Throws for an unknown key. The caller reads the stream to its end or destroys it. */
  get(key: string, signal: AbortSignal, span?: ByteSpan): Promise<Readable>
  /** Deletes the object and every upload to it. An unknown key is no error. */
  remove(key: string): Promise<void>
}

/** Returns the key of a backup's object, in a scope that no organization has. */
export function backupKey(backup: { id: string; sandboxId: string }): string {
  return `sandbox-backups/${backup.sandboxId}/${backup.id}`
}

/** Keeps backups among the other objects. */
export function createBackupObjects(objects: Omit<ObjectStore, 'put' | 'list'>): BackupObjects {
  return {
    partBytes: PART_BYTES,
    async begin(key) {
      await objects.abortUploads(key)
      return await objects.createUpload(key)
    },
    putPart: (target, source, size) => objects.putPart(target, source, { size }),
    async complete({ uploadId, key }, parts) {
      try {
        await objects.completeUpload(uploadId, key, parts)
        return true
      } catch (error) {
        if (isUploadGone(error)) return false
        throw error
      }
    },
    size: async (key) => (await objects.head(key))?.size,
    async get(key, signal, span) {
      const found = await objects.get(key, span)
      if (found === undefined) throw new Error(`there is no object ${key}`)
      return addAbortSignal(signal, found.body)
    },
    async remove(key) {
      await objects.abortUploads(key)
      await objects.delete(key)
    },
  }
}

export function isUploadGone(error: unknown): boolean {
  return error instanceof AppError && error.code === 'OBJECT_UPLOAD_NOT_FOUND'
}
