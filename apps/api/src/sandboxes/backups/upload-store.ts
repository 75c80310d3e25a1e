import type { StagedArchive } from '@atoll/protocol'
import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../../database/database.ts'
import { sandboxBackupParts, sandboxBackups } from './backup-table.ts'

/** A part of a backup's object that is in the object store. */
export interface BackupPart {
  number: number
  etag: string
  sha256: string
}

/** The upload of a backup that is being written. */
export interface BackupUpload {
  uploadId: string
  partBytes: number
  /** The checksum of the whole archive. */
  sha256: string
  /** The parts that were moved, in order. */
  parts: BackupPart[]
}

export interface Writing {
  id: string
  /** The replica that holds the backup's lease. */
  owner: string
}

/** The SQL of uploads. Writes return false if the lease is no longer the owner's, or the backup is not wanted any more. */
export interface UploadStore {
  /** Returns a backup's upload; undefined if none was begun. */
  find(id: string): Promise<BackupUpload | undefined>
  parts(id: string): Promise<BackupPart[]>
  /** Notes a new upload, of which no part was moved yet. */
  begin(writing: Writing, upload: StagedArchive & Pick<BackupUpload, 'uploadId' | 'partBytes'>): Promise<boolean>
  addPart(writing: Writing, part: BackupPart): Promise<boolean>
  /** Forgets the upload and its parts. */
  forget(writing: Writing): Promise<boolean>
}

export function createUploadStore({ db, transaction }: Pick<Database, 'db' | 'transaction'>): UploadStore {
  const parts = async (id: string): Promise<BackupPart[]> => {
    const { number, etag, sha256 } = sandboxBackupParts
    const rows = db.select({ number, etag, sha256 }).from(sandboxBackupParts)
    return await rows.where(eq(sandboxBackupParts.backupId, id)).orderBy(asc(number))
  }
  return {
    parts,
    async find(id) {
      const [row] = await db.select().from(sandboxBackups).where(eq(sandboxBackups.id, id))
      if (row?.uploadId == null || row.partBytes === null || row.sha256 === null) return undefined
      const { uploadId, partBytes, sha256 } = row
      return { uploadId, partBytes, sha256, parts: await parts(id) }
    },
    begin: (writing, { bytes, sha256, format, uploadId, partBytes }) =>
      transaction((tx) => change(tx, writing, { bytes, sha256, format, uploadId, partBytes })),
    addPart: (writing, part) =>
      transaction(async (tx) => {
        if (!(await lock(tx, writing))) return false
        const { number, ...columns } = part
        await tx
          .insert(sandboxBackupParts)
          .values({ backupId: writing.id, ...part })
          .onConflictDoUpdate({ target: [sandboxBackupParts.backupId, sandboxBackupParts.number], set: columns })
        return true
      }),
    forget: (writing) => transaction((tx) => change(tx, writing, { uploadId: null })),
  }
}

/** Writes the columns of another upload, or of none, and deletes the parts of the old one. */
async function change(
  tx: Queryable,
  writing: Writing,
  columns: Partial<typeof sandboxBackups.$inferInsert>,
): Promise<boolean> {
  if (!(await lock(tx, writing))) return false
  await tx.update(sandboxBackups).set(columns).where(eq(sandboxBackups.id, writing.id))
  await tx.delete(sandboxBackupParts).where(eq(sandboxBackupParts.backupId, writing.id))
  return true
}

async function lock(tx: Queryable, { id, owner }: Writing): Promise<boolean> {
  const held = and(
    ...[eq(sandboxBackups.id, id), eq(sandboxBackups.state, 'writing'), eq(sandboxBackups.leaseOwner, owner)],
    gt(sandboxBackups.leaseExpiresAt, sql`now()`),
  )
  const rows = await tx.select({ id: sandboxBackups.id }).from(sandboxBackups).where(held).for('update')
  return rows.length > 0
}
