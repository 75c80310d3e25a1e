import { LRUCache } from 'lru-cache'
import type { DatabaseListener } from '../database/listener.ts'
import type { AuthorizerOptions, Membership } from './authorizer.ts'
import { PRINCIPAL_CHANNEL } from './principal.ts'

/** Memberships remembered; each takes about 300 bytes. */
const MAX_MEMBERSHIPS = 10_000
/** How long a change may stay unseen when no notification of it arrives. */
const MEMBERSHIP_TTL_MS = 30_000

type FindMembership = AuthorizerOptions['findMembership']

/** Caches memberships, so that no query is needed while nothing changed. A missing membership is queried each time. */
export function createMembershipCache(options: { find: FindMembership; listener: DatabaseListener }): FindMembership {
  const known = new LRUCache<string, Membership>({ max: MAX_MEMBERSHIPS, ttl: MEMBERSHIP_TTL_MS })
  // A lookup that was under way during a change may return old data: it is not cached.
  let changes = 0

  function forget(): void {
    changes += 1
    known.clear()
  }

  options.listener.subscribe(PRINCIPAL_CHANNEL, {
    onNotify: (payload) => {
      if (!payload.startsWith('key:')) forget()
    },
    onListening: forget,
  })

  return async (userId, organizationId) => {
    const key = `${organizationId} ${userId}`
    const cached = known.get(key)
    if (cached !== undefined) return cached
    const changesBefore = changes
    const found = await options.find(userId, organizationId)
    if (found && changes === changesBefore) known.set(key, found)
    return found
  }
}
