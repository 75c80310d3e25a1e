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

/** The start of a list: from a key on, or behind a key. */
export type KeyBound = { readonly from: string } | { readonly behind: string }

export interface KeyRange {
  prefix: string
  bound: KeyBound | undefined
}

/** The SQL of objects and the files they consist of. */
export const storedObjectStore = {
  async find(db: Queryable, key: string): Promise<StoredObjectRow | undefined> {
    const [row] = await db.select().from(storedObjects).where(eq(storedObjects.key, key))
    return row
  },

  /** Returns the objects whose keys begin with the prefix, in the order of the keys' bytes. */
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
   * Replaces the object with this key, in a transaction; returns the new row and the files that are now unused. Returns
   * undefined and does nothing when `ifAbsent` is set and the object exists.
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

  /** Deletes an object, in a transaction; returns the files that are now unused. */
  async delete(tx: Queryable, key: string): Promise<string[]> {
    await lockKey(tx, key)
    const deleted = await tx.delete(storedObjects).where(eq(storedObjects.key, key)).returning()
    const released = deleted.flatMap(({ files }) => files.map(({ name }) => name))
    await objectFilesStore.release(tx, released)
    return released
  },

  /** Returns the scopes whose organizations no longer exist. */
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

/** Keeps other transactions from replacing or deleting the object with this key until this one ends. */
async function lockKey(tx: Queryable, key: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${advisoryLocks.storedObjects}, hashtext(${key}))`)
}
