import { createHash } from 'node:crypto'
import type { ParameterOrJSON } from 'postgres'
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import { rateLimited } from '../auth/failure-gate.ts'
import type { Database } from '../database/database.ts'

/** Tries from one address, and for one login, in one window. Those that succeed are given back. */
const TRIES_PER_ADDRESS = 60
const TRIES_PER_LOGIN = 10
const WINDOW_S = 15 * 60

const BUCKET = 'sign-in'

/** Bounds how often passwords can be tried, on all replicas together. */
export interface SignInLimits {
  /** Counts a try. Throws RATE_LIMITED; an address that is over its limit uses up nobody's tries. */
  attempt(login: string, source: string): Promise<void>
  /** Gives back what the tries up to this right one took. */
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
      // Our own upkeep does it.
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
    // What else is thrown is a fault of the database.
    if (!(refusal instanceof RateLimiterRes)) throw refusal
    const retryAfterS = Math.max(1, Math.ceil(refusal.msBeforeNext / 1000))
    throw rateLimited('Too many sign-ins', { bucket: BUCKET, limit: limiter.points, retryAfterS })
  }
}

/** The part of `pg` that the limiter uses, over our own pool. */
function toClient(sql: Database['sql']) {
  return {
    async query({ text, values }: { text: string; values: ParameterOrJSON<never>[] }) {
      const rows = await sql.unsafe(text, values)
      return { rows, rowCount: rows.count }
    },
  }
}

/** Of one length, and nothing that was typed stays. */
function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
