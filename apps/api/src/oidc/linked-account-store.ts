import { and, asc, eq, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { users } from '../users/user-table.ts'
import { linkedAccounts } from './linked-account-table.ts'

export type LinkedAccountRow = typeof linkedAccounts.$inferSelect

/** The key of an identity. */
export interface Identity {
  issuer: string
  subject: string
}

/** An identity with the data of its user. */
export interface LinkedUser extends LinkedAccountRow {
  systemRole: 'admin' | 'user'
  userName: string
  userEmail: string
  userEmailVerified: boolean
}

export interface LinkedAccountStore {
  find(identity: Identity): Promise<LinkedUser | undefined>
  listOf(userId: string): Promise<LinkedAccountRow[]>
  insert(account: Omit<LinkedAccountRow, 'createdAt'>): Promise<void>
  update(
    identity: Identity,
    change: Partial<Pick<LinkedAccountRow, 'email' | 'emailVerified' | 'userId'>>,
  ): Promise<void>
  delete(identity: Identity): Promise<void>
  /** Keeps other transactions from creating or moving the same identity until this one ends. */
  lock(identity: Identity): Promise<void>
}

export function createLinkedAccountStore(db: Queryable): LinkedAccountStore {
  const matching = ({ issuer, subject }: Identity) =>
    and(eq(linkedAccounts.issuer, issuer), eq(linkedAccounts.subject, subject))
  return {
    async find(identity) {
      const [row] = await db
        .select({
          account: linkedAccounts,
          systemRole: users.role,
          userName: users.name,
          userEmail: users.email,
          userEmailVerified: users.emailVerified,
        })
        .from(linkedAccounts)
        .innerJoin(users, eq(users.id, linkedAccounts.userId))
        .where(matching(identity))
      if (row === undefined) return undefined
      const { account, ...user } = row
      return { ...account, ...user }
    },
    listOf: (userId) =>
      db
        .select()
        .from(linkedAccounts)
        .where(eq(linkedAccounts.userId, userId))
        .orderBy(asc(linkedAccounts.createdAt), asc(linkedAccounts.subject)),
    async insert(account) {
      await db.insert(linkedAccounts).values(account)
    },
    async update(identity, change) {
      await db.update(linkedAccounts).set(change).where(matching(identity))
    },
    async delete(identity) {
      await db.delete(linkedAccounts).where(matching(identity))
    },
    async lock({ issuer, subject }) {
      await db.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`${issuer} ${subject}`}, 0))`)
    },
  }
}
