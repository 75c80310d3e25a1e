import { AppError } from '@atoll/protocol'
import { and, eq, inArray, isNotNull, lt, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { objectFiles, objectUsage } from './stored-object-table.ts'

/** The most bytes and files of one scope. */
export interface ScopeQuota {
  readonly maxBytes: number
  readonly maxFiles: number
}

export interface Reservation {
  readonly name: string
  readonly scope: string
  /** The announced length; 0 when it is not known. */
  readonly bytes: number
  readonly quota: ScopeQuota | undefined
}

/**
 * The SQL of files. A file has a row from before it is written until after it is removed, so the files that a crash
 * leaves behind are known, and no file is removed because its row is missing.
 */
export const objectFilesStore = {
  /** Counts a file before it is written. Call it in a transaction; throws OBJECT_QUOTA_EXCEEDED. */
  async reserve(tx: Queryable, { name, scope, bytes, quota }: Reservation): Promise<void> {
    await addUsage(tx, { scope, bytes, files: 1 }, quota)
    await tx.insert(objectFiles).values({ name, scope, bytes })
  },

  /**
   * Marks a reserved, complete file as used by an object or an upload. Call it in a transaction; throws
   * OBJECT_QUOTA_EXCEEDED.
   */
  async hold(tx: Queryable, { name, scope, bytes, quota }: Reservation, actualBytes: number): Promise<void> {
    if (actualBytes !== bytes) await addUsage(tx, { scope, bytes: actualBytes - bytes, files: 0 }, quota)
    const held = await tx
      .update(objectFiles)
      .set({ releasedAt: null, bytes: actualBytes })
      .where(and(eq(objectFiles.name, name), isNotNull(objectFiles.releasedAt)))
      .returning({ name: objectFiles.name })
    if (held.length === 0) throw new AppError('REQUEST_TIMEOUT', 'The upload took too long')
  },

  /** Marks files as unused. */
  async release(tx: Queryable, names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    await tx
      .update(objectFiles)
      .set({ releasedAt: sql`now()` })
      .where(inArray(objectFiles.name, [...names]))
  },

  /** Deletes the rows of released files that have been removed, and no longer counts them. */
  async forget(tx: Queryable, names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const removed = await tx
      .delete(objectFiles)
      .where(and(inArray(objectFiles.name, [...names]), isNotNull(objectFiles.releasedAt)))
      .returning({ scope: objectFiles.scope, bytes: objectFiles.bytes })
    const totals = new Map<string, { bytes: number; files: number }>()
    for (const { scope, bytes } of removed) {
      const total = totals.get(scope) ?? { bytes: 0, files: 0 }
      totals.set(scope, { bytes: total.bytes + bytes, files: total.files + 1 })
    }
    // Scopes are locked in one order everywhere, so that no two transactions wait for each other.
    for (const [scope, { bytes, files }] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1))) {
      await addUsage(tx, { scope, bytes: -bytes, files: -files })
    }
  },

  /** Returns files that have been unused since before `before`. */
  async findReleased(db: Queryable, before: Date, limit: number): Promise<string[]> {
    const rows = await db
      .select({ name: objectFiles.name })
      .from(objectFiles)
      .where(lt(objectFiles.releasedAt, before))
      .orderBy(objectFiles.releasedAt)
      .limit(limit)
    return rows.map(({ name }) => name)
  },
}

interface UsageChange {
  scope: string
  bytes: number
  files: number
}

async function addUsage(tx: Queryable, { scope, bytes, files }: UsageChange, quota?: ScopeQuota): Promise<void> {
  // Inserts zeros first: even a row that conflicts must pass the checks, which a negative change would not.
  await tx.insert(objectUsage).values({ scope, bytes: 0, files: 0 }).onConflictDoNothing()
  const [sums] = await tx
    .update(objectUsage)
    .set({ bytes: sql`${objectUsage.bytes} + ${bytes}`, files: sql`${objectUsage.files} + ${files}` })
    .where(eq(objectUsage.scope, scope))
    .returning()
  if (sums === undefined || quota === undefined) return
  if (sums.bytes > quota.maxBytes || sums.files > quota.maxFiles) {
    throw new AppError(
      'OBJECT_QUOTA_EXCEEDED',
      `Stored objects may take ${quota.maxBytes} bytes and ${quota.maxFiles} files in all; delete some first`,
    )
  }
}
