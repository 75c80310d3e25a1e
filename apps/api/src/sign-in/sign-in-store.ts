import { and, desc, eq, gt, isNull, lt, notInArray } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { isUniqueViolation } from '../database/database-fault.ts'
import { users } from '../users/user-table.ts'
import { refreshTokens, signIns, userPasswords } from './sign-in-table.ts'

export interface SignInStore {
  findPassword(by: { login: string } | { userId: string }): Promise<PasswordRow | undefined>
  /** Returns the current hash and locks it until the transaction ends. */
  lockPassword(userId: string): Promise<string | undefined>
  /** Returns false when the login is another user's. */
  putPassword(row: Omit<PasswordRow, 'changedAt'>): Promise<boolean>
  insert(signIn: { userId: string; expiresAt: Date }): Promise<string>
  /** Ends all sign-ins of a user except the newest ones. */
  keepNewest(userId: string, count: number): Promise<void>
  insertRefreshToken(token: { tokenHash: string; signInId: string }): Promise<void>
  /** Uses up a token. Returns undefined when it is unknown, was used before, or its sign-in has ended. */
  useRefreshToken(
    tokenHash: string,
    now: Date,
  ): Promise<{ signInId: string; userId: string; expiresAt: Date } | undefined>
  /** Ends the sign-in of a refresh token, used or not. Returns its user, if there was one. */
  endByRefreshToken(tokenHash: string): Promise<{ userId: string; wasUsed: boolean } | undefined>
  endAll(userId: string): Promise<void>
  /** Returns the system role of a user whose sign-in has not ended. */
  findLive(signIn: { signInId: string; userId: string; now: Date }): Promise<'admin' | 'user' | undefined>
  deleteExpired(now: Date): Promise<void>
}

export type PasswordRow = typeof userPasswords.$inferSelect

const SIGN_IN_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function createSignInStore(db: Queryable): SignInStore {
  return { ...passwords(db), ...liveSignIns(db), ...refreshing(db) }
}

function passwords(db: Queryable): Pick<SignInStore, 'findPassword' | 'lockPassword' | 'putPassword'> {
  return {
    async findPassword(by) {
      const matches = 'login' in by ? eq(userPasswords.login, by.login) : eq(userPasswords.userId, by.userId)
      const [row] = await db.select().from(userPasswords).where(matches)
      return row
    },
    async lockPassword(userId) {
      const [row] = await db
        .select({ passwordHash: userPasswords.passwordHash })
        .from(userPasswords)
        .where(eq(userPasswords.userId, userId))
        .for('share')
      return row?.passwordHash
    },
    async putPassword(row) {
      const set = { login: row.login, passwordHash: row.passwordHash, changedAt: new Date() }
      try {
        await db.insert(userPasswords).values(row).onConflictDoUpdate({ target: userPasswords.userId, set })
      } catch (error) {
        if (isUniqueViolation(error)) return false
        throw error
      }
      return true
    },
  }
}

function liveSignIns(
  db: Queryable,
): Pick<SignInStore, 'insert' | 'keepNewest' | 'endAll' | 'findLive' | 'deleteExpired'> {
  return {
    async insert(signIn) {
      const [row] = await db.insert(signIns).values(signIn).returning({ id: signIns.id })
      if (row === undefined) throw new Error('the new sign-in was not returned')
      return row.id
    },
    async keepNewest(userId, count) {
      const newest = db
        .select({ id: signIns.id })
        .from(signIns)
        .where(eq(signIns.userId, userId))
        .orderBy(desc(signIns.createdAt), signIns.id)
        .limit(count)
      await db.delete(signIns).where(and(eq(signIns.userId, userId), notInArray(signIns.id, newest)))
    },
    async endAll(userId) {
      await db.delete(signIns).where(eq(signIns.userId, userId))
    },
    async findLive({ signInId, userId, now }) {
      if (!SIGN_IN_ID.test(signInId)) return undefined
      const [row] = await db
        .select({ role: users.role })
        .from(signIns)
        .innerJoin(users, eq(users.id, signIns.userId))
        .where(and(eq(signIns.id, signInId), eq(signIns.userId, userId), gt(signIns.expiresAt, now)))
      return row?.role
    },
    async deleteExpired(now) {
      await db.delete(signIns).where(lt(signIns.expiresAt, now))
    },
  }
}

function refreshing(db: Queryable): Pick<SignInStore, 'insertRefreshToken' | 'useRefreshToken' | 'endByRefreshToken'> {
  return {
    async insertRefreshToken(token) {
      await db.insert(refreshTokens).values(token)
    },
    async useRefreshToken(tokenHash, now) {
      const [row] = await db
        .update(refreshTokens)
        .set({ usedAt: now })
        .from(signIns)
        .where(
          and(
            eq(refreshTokens.tokenHash, tokenHash),
            isNull(refreshTokens.usedAt),
            eq(signIns.id, refreshTokens.signInId),
            gt(signIns.expiresAt, now),
          ),
        )
        .returning({ signInId: signIns.id, userId: signIns.userId, expiresAt: signIns.expiresAt })
      return row
    },
    async endByRefreshToken(tokenHash) {
      const [token] = await db
        .select({ signInId: refreshTokens.signInId, usedAt: refreshTokens.usedAt })
        .from(refreshTokens)
        .where(eq(refreshTokens.tokenHash, tokenHash))
      if (token === undefined) return undefined
      const [ended] = await db
        .delete(signIns)
        .where(eq(signIns.id, token.signInId))
        .returning({ userId: signIns.userId })
      return ended && { userId: ended.userId, wasUsed: token.usedAt !== null }
    },
  }
}
