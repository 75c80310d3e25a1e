import { eq } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { users } from './user-table.ts'

export type NewUser = typeof users.$inferInsert

export interface UserStore {
  insert(user: NewUser): Promise<void>
  hasAdministrator(): Promise<boolean>
}

export function createUserStore(db: Queryable): UserStore {
  return {
    async insert(user) {
      await db.insert(users).values(user)
    },
    async hasAdministrator() {
      const found = await db.select({ id: users.id }).from(users).where(eq(users.role, 'admin')).limit(1)
      return found.length > 0
    },
  }
}
