import { createHash } from 'node:crypto'
import type { ParameterOrJSON } from 'postgres'
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { rateLimited } from '../auth/failure-gate.ts'
import type { Database } from '../database/database.ts'

/** The tries from one address, and for one login, in one window. Successful tries are given back. */
const TRIES_PER_ADDRESS = 60
const TRIES_PER_LOGIN = 10
const WINDOW_S = 15 * 60

const BUCKET = 'sign-in'

/** Limits how often passwords can be tried, on all replicas together. */
export interface SignInLimits {
  /** Counts a try. Throws RATE_LIMITED; an address above its limit uses up no tries of a login. */
  attempt(login: string, source: string): Promise<void>
  /** Gives back the tries up to this successful one. */
  succeeded(login: string, source: string): Promise<void>
  deleteExpired(now: Date): Promise<void>
}

export function createSignInLimits({ sql }: Pick<Database, 'sql'>): SignInLimits {
  const limiter = (keyPrefix: string, points: number) =>
    new RateLimiterPostgres({
      ...{ keyPrefix, points, duration: WINDOW_S },
      storeClient: toClient(sql),
      storeType: 'client',
      tableName: 'rate_limits',
      tableCreated: true,
      // The upkeep of sign-ins deletes them.
      clearExpiredByTimeout: false,
    })
  const byAddress = limiter('sign-in-address', TRIES_PER_ADDRESS)
  const byLogin = limiter('sign-in-login', TRIES_PER_LOGIN)
  return {
    async attempt(login, source) {
      await consume(byAddress, hash(source))
      await consume(byLogin, hash(login))
    },
    async succeeded(login, source) {
      await byLogin.delete(hash(login))
      await byAddress.reward(hash(source), 1)
    },
    async deleteExpired(now) {
      await sql`delete from rate_limits where expire < ${now.getTime()}`
    },
  }
}

async function consume(limiter: RateLimiterPostgres, key: string): Promise<void> {
  try {
    await limiter.consume(key)
  } catch (refusal) {
    // Any other value thrown is a fault of the database.
    if (!(refusal instanceof RateLimiterRes)) throw refusal
    const retryAfterS = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000))
    throw rateLimited('Too many sign-ins', { bucket: BUCKET, limit: limiter.points, retryAfterS })
  }
}

/** Adapts the pool to the part of `pg` that the limiter uses. */
function toClient(sql: Database['sql']) {
  return {
    async query({ text, values }: { text: string; values: ParameterOrJSON<never>[] }) {
      const rows = await sql.unsafe(text, values)
      return { rows, rowCount: rows.count }
    },
  }
}

/** Makes keys of one length that do not contain the typed text. */
function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
