import { and, eq, gt, gte, lt, notExists, sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Queryable } from '../database/database.ts'
import { organizations } from '../organizations/organization-table.ts'
import { objectFilesStore } from './object-files-store.ts'
import { firstBehind } from './object-key.ts'
import type { ObjectFacts } from './object-store.ts'
import type { StoredObjectRow } from './stored-object-table.ts'
import { objectUsage, storedObjects } from './stored-object-table.ts'

export type NewStoredObject = Omit<StoredObjectRow, 'modifiedAt'>

/** Where a list goes on: from a key on, or behind it. */
export type KeyBound = { readonly from: string } | { readonly behind: string }

export interface KeyRange {
  prefix: string
  bound: KeyBound | undefined
}

/** Which objects there are, and of which files. */
export const storedObjectStore = {
  async find(db: Queryable, key: string): Promise<StoredObjectRow | undefined> {
    const [row] = await db.select().from(storedObjects).where(eq(storedObjects.key, key))
    return row
  },

  /** Those that begin with the prefix, in the order of their keys' bytes. */
  async list(db: Queryable, { prefix, bound }: KeyRange, limit: number): Promise<ObjectFacts[]> {
    const { key, size, etag, modifiedAt } = storedObjects
    const end = firstBehind(prefix)
    return await db
      .select({ key, size, etag, modifiedAt })
      .from(storedObjects)
      .where(
        and(
          gte(key, prefix),
          end === undefined ? undefined : lt(key, end),
          bound && ('from' in bound ? gte(key, bound.from) : gt(key, bound.behind)),
        ),
      )
      .orderBy(key)
      .limit(limit)
  },

  /**
   * Puts an object in the place of what has its key, in a transaction; answers it and the files that nothing needs now.
   * Undefined, with nothing done, when there is one and `ifAbsent`.
   */
  async replace(tx: Queryable, object: NewStoredObject, ifAbsent: boolean) {
    await lockKey(tx, object.key)
    const before = await storedObjectStore.find(tx, object.key)
    if (before !== undefined && ifAbsent) return undefined
    const { key, ...columns } = object
    const [row] = await tx
      .insert(storedObjects)
      .values(object)
      .onConflictDoUpdate({ target: storedObjects.key, set: { ...columns, modifiedAt: sql`now()` } })
      .returning()
    if (row === undefined) throw new Error('the new object was not returned')
    const released = (before?.files ?? []).map(({ name }) => name)
    await objectFilesStore.release(tx, released)
    return { row, released }
  },

  /** In a transaction; answers the files that nothing needs now. */
  async delete(tx: Queryable, key: string): Promise<string[]> {
    await lockKey(tx, key)
    const deleted = await tx.delete(storedObjects).where(eq(storedObjects.key, key)).returning()
    const released = deleted.flatMap(({ files }) => files.map(({ name }) => name))
    await objectFilesStore.release(tx, released)
    return released
  },

  /** Scopes that are the ids of organizations which no longer exist. */
  async findAbandonedScopes(db: Queryable, limit: number): Promise<string[]> {
    const isOrganization = eq(sql`${organizations.id}::text`, objectUsage.scope)
    const rows = await db
      .select({ scope: objectUsage.scope })
      .from(objectUsage)
      .where(
        and(
          sql`${objectUsage.scope} ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'`,
          gt(objectUsage.files, 0),
          notExists(db.select({ id: organizations.id }).from(organizations).where(isOrganization)),
        ),
      )
      .limit(limit)
    return rows.map(({ scope }) => scope)
  },
}

/** Until the transaction ends, nobody else replaces or deletes what has this key. */
async function lockKey(tx: Queryable, key: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${advisoryLocks.storedObjects}, hashtext(${key}))`)
}
