import { AppError } from '@atoll/protocol'
import { and, asc, count, eq, gte, lt, sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Queryable } from '../database/database.ts'
import { objectFilesStore } from './object-files-store.ts'
import { firstBehind, scopeOf } from './object-key.ts'
import type { ObjectUploadPartRow } from './stored-object-table.ts'
import { objectUploadParts, objectUploads } from './stored-object-table.ts'

/** The most multipart uploads of one scope that may be under way. */
export const MAX_UPLOADS = 1_000

export interface NewUpload {
  key: string
  contentType: string
  headers: Record<string, string>
}

/** The SQL of multipart uploads that are under way. Calls that change something run in a transaction. */
export const objectUploadStore = {
  /** Throws OBJECT_QUOTA_EXCEEDED above MAX_UPLOADS. */
  async insert(tx: Queryable, upload: NewUpload): Promise<string> {
    const prefix = `${scopeOf(upload.key)}/`
    // Of two uploads that begin at once, the later one must count the earlier.
    await tx.execute(sql`select pg_advisory_xact_lock(${advisoryLocks.objectUploads}, hashtext(${prefix}))`)
    const [pending] = await tx
      .select({ total: count() })
      .from(objectUploads)
      .where(and(gte(objectUploads.key, prefix), lt(objectUploads.key, firstBehind(prefix) ?? '')))
    if ((pending?.total ?? 0) >= MAX_UPLOADS) {
      throw new AppError('OBJECT_QUOTA_EXCEEDED', `At most ${MAX_UPLOADS} multipart uploads may be under way`)
    }
    const [row] = await tx.insert(objectUploads).values(upload).returning({ id: objectUploads.id })
    if (row === undefined) throw new Error('the new upload was not returned')
    return row.id
  },

  /** Throws OBJECT_UPLOAD_NOT_FOUND. */
  async check(db: Queryable, id: string, key: string): Promise<void> {
    found(await db.select().from(objectUploads).where(isUpload(id, key)))
  },

  /**
   * Locks the upload until the transaction ends. A transaction that also counts files does that first: two with
   * opposite orders would wait for each other. Throws OBJECT_UPLOAD_NOT_FOUND.
   */
  async lock(tx: Queryable, id: string, key: string) {
    return found(await tx.select().from(objectUploads).where(isUpload(id, key)).for('update'))
  },

  /** Stores a part; returns the file of the part that had this number, which is now unused. */
  async putPart(tx: Queryable, part: ObjectUploadPartRow): Promise<string[]> {
    const { uploadId, number, ...columns } = part
    const same = and(eq(objectUploadParts.uploadId, uploadId), eq(objectUploadParts.number, number))
    const replaced = await tx.select({ file: objectUploadParts.file }).from(objectUploadParts).where(same)
    await tx
      .insert(objectUploadParts)
      .values(part)
      .onConflictDoUpdate({ target: [objectUploadParts.uploadId, objectUploadParts.number], set: columns })
    await tx.update(objectUploads).set({ usedAt: sql`now()` }).where(eq(objectUploads.id, uploadId))
    const released = replaced.map(({ file }) => file)
    await objectFilesStore.release(tx, released)
    return released
  },

  /** Returns the parts in the order of their numbers. */
  async listParts(tx: Queryable, uploadId: string): Promise<ObjectUploadPartRow[]> {
    return await tx
      .select()
      .from(objectUploadParts)
      .where(eq(objectUploadParts.uploadId, uploadId))
      .orderBy(asc(objectUploadParts.number))
  },

  /** Deletes an upload; returns its files that are now unused: all but those to keep. */
  async delete(tx: Queryable, uploadId: string, keep: ReadonlySet<string>): Promise<string[]> {
    const parts = await objectUploadStore.listParts(tx, uploadId)
    await tx.delete(objectUploads).where(eq(objectUploads.id, uploadId))
    const released = parts.map(({ file }) => file).filter((file) => !keep.has(file))
    await objectFilesStore.release(tx, released)
    return released
  },

  /** Returns the ids of the uploads to one key. */
  async findOf(db: Queryable, key: string): Promise<string[]> {
    const rows = await db.select({ id: objectUploads.id }).from(objectUploads).where(eq(objectUploads.key, key))
    return rows.map(({ id }) => id)
  },

  /** Returns the uploads below a prefix that are under way, oldest first. */
  async list(db: Queryable, prefix: string, limit: number) {
    const end = firstBehind(prefix)
    return await db
      .select({ id: objectUploads.id, key: objectUploads.key })
      .from(objectUploads)
      .where(and(gte(objectUploads.key, prefix), end === undefined ? undefined : lt(objectUploads.key, end)))
      .orderBy(asc(objectUploads.key), asc(objectUploads.usedAt))
      .limit(limit)
  },

  /** Returns the uploads not used since `before` and, when a scope is given, only those of the scope. */
  async findAbandoned(db: Queryable, { before, scope }: { before?: Date; scope?: string }, limit: number) {
    const prefix = scope === undefined ? undefined : `${scope}/`
    return await db
      .select({ id: objectUploads.id, key: objectUploads.key })
      .from(objectUploads)
      .where(
        and(
          before === undefined ? undefined : lt(objectUploads.usedAt, before),
          prefix === undefined ? undefined : gte(objectUploads.key, prefix),
          prefix === undefined ? undefined : lt(objectUploads.key, firstBehind(prefix) ?? ''),
        ),
      )
      .limit(limit)
  },
}

function isUpload(id: string, key: string) {
  return and(eq(objectUploads.id, id), eq(objectUploads.key, key))
}

function found<Row>([row]: Row[]): Row {
  if (row === undefined) throw new AppError('OBJECT_UPLOAD_NOT_FOUND', 'There is no such multipart upload')
  return row
}
