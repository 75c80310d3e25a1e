import { AppError } from '@atoll/protocol'
import { LRUCache } from 'lru-cache'
import { hashApiKey, isApiKey } from '../api-keys/api-key.ts'
import type { ApiKeyHolder } from '../api-keys/api-key-store.ts'
import type { DatabaseListener } from '../database/listener.ts'
import type { CredentialVerifier } from './authenticator.ts'
import type { FailureGate } from './failure-gate.ts'
import { toPermissions } from './permission.ts'
import type { Principal } from './principal.ts'
import { PRINCIPAL_CHANNEL } from './principal.ts'

/** Keys that are known to be valid; each takes about 500 bytes. */
const MAX_VERIFIED_KEYS = 10_000
/** How long a change may stay unseen when no notification of it arrives. */
const VERIFIED_TTL_MS = 30_000
/** Well-formed keys that do not exist. They have their own cache, so that guesses evict no valid key. */
const MAX_UNKNOWN_KEYS = 10_000
const UNKNOWN_TTL_MS = 5_000

export interface KeyVerifierOptions {
  findHolder: (keyHash: string) => Promise<ApiKeyHolder | undefined>
  /** Called with the key's id for every successful call. */
  onUse: (apiKeyId: string) => void
  gate: FailureGate
  listener: DatabaseListener
  /** Milliseconds since the epoch. */
  now: () => number
}

interface Verified {
  principal: Principal
  /** Milliseconds since the epoch; Infinity when the key does not expire. */
  expiresAt: number
}

/** Finds the principal of an API key, without the database when the key was seen lately. */
export function createKeyVerifier(options: KeyVerifierOptions): CredentialVerifier {
  const verified = new LRUCache<string, Verified>({ max: MAX_VERIFIED_KEYS, ttl: VERIFIED_TTL_MS })
  const unknown = new LRUCache<string, true>({ max: MAX_UNKNOWN_KEYS, ttl: UNKNOWN_TTL_MS })
  const lookups = new Map<string, Promise<Verified | undefined>>()
  // A lookup that was under way during a change may return old data: it is not cached.
  let changes = 0

  function forget(keyHash?: string): void {
    changes += 1
    lookups.clear()
    if (keyHash === undefined) {
      verified.clear()
      unknown.clear()
    } else {
      verified.delete(keyHash)
      unknown.delete(keyHash)
    }
  }

  options.listener.subscribe(PRINCIPAL_CHANNEL, {
    onNotify: (payload) => forget(payload.startsWith('key:') ? payload.slice('key:'.length) : undefined),
    onListening: () => forget(),
  })

  async function lookUp(keyHash: string): Promise<Verified | undefined> {
    const changesBefore = changes
    const holder = await options.findHolder(keyHash)
    const found = holder && toVerified(holder)
    if (changes === changesBefore) {
      if (found) verified.set(keyHash, found)
      else unknown.set(keyHash, true)
    }
    return found
  }

  /** Simultaneous calls with the same key share one query. */
  function lookUpOnce(keyHash: string): Promise<Verified | undefined> {
    const running = lookups.get(keyHash)
    if (running !== undefined) return running
    const lookup = lookUp(keyHash).finally(() => {
      if (lookups.get(keyHash) === lookup) lookups.delete(keyHash)
    })
    lookups.set(keyHash, lookup)
    return lookup
  }

  return {
    recognizes: isApiKey,
    async verify(key, source) {
      const keyHash = hashApiKey(key)
      if (unknown.has(keyHash)) throw new AppError('UNAUTHORIZED', 'Invalid API key')
      const found =
        verified.get(keyHash) ?? (await options.gate.check({ source, hash: keyHash }, () => lookUpOnce(keyHash)))
      if (!found) throw new AppError('UNAUTHORIZED', 'Invalid API key')
      if (found.expiresAt <= options.now()) throw new AppError('UNAUTHORIZED', 'The API key has expired')
      if (found.principal.apiKeyId !== undefined) options.onUse(found.principal.apiKeyId)
      return found.principal
    },
  }
}

/** A key allows the permissions it was given that its holder still has. */
function toVerified(holder: ApiKeyHolder): Verified {
  const { apiKeyId, userId, organizationId, role, systemRole } = holder
  const held = role === 'owner' ? holder.permissions : holder.permissions.filter(isOneOf(holder.rolePermissions))
  const permissions = toPermissions(held)
  return {
    principal: Object.freeze({ kind: 'apiKey', apiKeyId, userId, organizationId, role, systemRole, permissions }),
    expiresAt: holder.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
  }
}

function isOneOf(texts: readonly string[]): (text: string) => boolean {
  return (text) => texts.includes(text)
}
