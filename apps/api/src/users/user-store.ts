import { asc, eq } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { users } from './user-table.ts'

export type NewUser = typeof users.$inferInsert
export type UserRow = Omit<typeof users.$inferSelect, 'sealedPrivateKey'>

export interface UserStore {
  insert(user: NewUser): Promise<void>
  /** Returns undefined when there is a user with this id. */
  insertIfNew(user: NewUser): Promise<UserRow | undefined>
  find(id: string): Promise<UserRow | undefined>
  /** Returns all users, the oldest first. */
  list(): Promise<UserRow[]>
  /** Returns undefined when there is no such user. */
  update(id: string, change: Partial<Omit<NewUser, 'id'>>): Promise<UserRow | undefined>
  hasAdministrator(): Promise<boolean>
  /** Keeps other transactions from locking the user until this one ends. */
  lock(id: string): Promise<void>
  /** Returns the administrator that was made first. */
  firstAdministrator(): Promise<UserRow | undefined>
  delete(id: string): Promise<void>
}

/** The selected columns: all but the private key. */
const shown = {
  id: users.id,
  name: users.name,
  email: users.email,
  emailVerified: users.emailVerified,
  role: users.role,
  publicKey: users.publicKey,
  createdAt: users.createdAt,
}

export function createUserStore(db: Queryable): UserStore {
  return {
    async insert(user) {
      await db.insert(users).values(user)
    },
    async insertIfNew(user) {
      const [row] = await db.insert(users).values(user).onConflictDoNothing({ target: users.id }).returning(shown)
      return row
    },
    async find(id) {
      const [row] = await db.select(shown).from(users).where(eq(users.id, id))
      return row
    },
    list: () => db.select(shown).from(users).orderBy(asc(users.createdAt), asc(users.id)),
    async update(id, change) {
      const [row] = await db.update(users).set(change).where(eq(users.id, id)).returning(shown)
      return row
    },
    async hasAdministrator() {
      const found = await db.select({ id: users.id }).from(users).where(eq(users.role, 'admin')).limit(1)
      return found.length > 0
    },
    async lock(id) {
      await db.select({ id: users.id }).from(users).where(eq(users.id, id)).for('no key update')
    },
    async firstAdministrator() {
      const admins = db.select(shown).from(users).where(eq(users.role, 'admin'))
      const [row] = await admins.orderBy(asc(users.createdAt), asc(users.id)).limit(1)
      return row
    },
    async delete(id) {
      await db.delete(users).where(eq(users.id, id))
    },
  }
}
