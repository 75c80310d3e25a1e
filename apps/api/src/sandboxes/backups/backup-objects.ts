import type { Readable } from 'node:stream'
import { addAbortSignal } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { ByteSpan, NamedPart, ObjectStore, PartTarget } from '../../object-storage/object-store.ts'

/** Bytes of a part of a backup: what is moved again at most after a crash, and what S3 has in memory of it. */
const PART_BYTES = 16 * 1024 ** 2

/** Where backups are kept. A key's object is whole or absent. */
export interface BackupObjects {
  /** Bytes of a part but the last; more for backups that would have too many. */
  readonly partBytes: number
  /** Begins an upload, which no crash ends; answers its id. */
  begin(key: string): Promise<string>
  /** Stores a part of exactly `bytes`; answers its etag. Throws OBJECT_UPLOAD_NOT_FOUND. */
  putPart(target: PartTarget, source: Readable, bytes: number): Promise<string>
  /** Makes one object of the parts. False when there is no such upload, which may be because that was done before. */
  complete(target: Omit<PartTarget, 'number'>, parts: readonly NamedPart[]): Promise<boolean>
  /** Bytes of the object; undefined for an unknown key. */
  size(key: string): Promise<number | undefined>
  /** All of it, or a span. Throws for an unknown key. Whoever takes the stream reads it to its end or destroys it. */
  get(key: string, signal: AbortSignal, span?: ByteSpan): Promise<Readable>
  /** With every upload to it. An unknown key is nothing to delete. */
  remove(key: string): Promise<void>
}

/** Where a backup's object is: in a scope that no organization has. */
export function backupKey(backup: { id: string; sandboxId: string }): string {
  return `sandbox-backups/${backup.sandboxId}/${backup.id}`
}

/** Keeps backups among the other objects. */
export function createBackupObjects(objects: Omit<ObjectStore, 'put' | 'list'>): BackupObjects {
  return {
    partBytes: PART_BYTES,
    begin: (key) => objects.createUpload(key),
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
