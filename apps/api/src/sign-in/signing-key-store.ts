import { desc, lt, sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Queryable } from '../database/database.ts'
import { signingKeys } from './signing-key-table.ts'

export type SigningKeyRow = typeof signingKeys.$inferSelect

export interface SigningKeyStore {
  /** Returns the keys, newest first. */
  list(): Promise<SigningKeyRow[]>
  insert(key: SigningKeyRow): Promise<void>
  deleteOlderThan(time: Date): Promise<void>
  /** Keeps other transactions from locking the keys until this one ends. */
  lock(): Promise<void>
}

export function createSigningKeyStore(db: Queryable): SigningKeyStore {
  return {
    list: () => db.select().from(signingKeys).orderBy(desc(signingKeys.createdAt), signingKeys.id),
    async insert(key) {
      await db.insert(signingKeys).values(key)
    },
    async deleteOlderThan(time) {
      await db.delete(signingKeys).where(lt(signingKeys.createdAt, time))
    },
    async lock() {
      await db.execute(sql`select pg_advisory_xact_lock(${advisoryLocks.keyRotation})`)
    },
  }
}
