import type { Logger } from '@atoll/service'
import type { RemoteJWKSet } from 'jose'
import { createRemoteJWKSet, customFetch } from 'jose'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { trimIssuer } from '../auth/issuer-name.ts'
import { fetchFromProvider, PROVIDER_DEADLINE_MS } from './oidc-fetch.ts'

/** After a failure the provider is not asked again for this long, so that calls do not wait for it repeatedly. */
const RETRY_MS = 5_000
/** A document is read again after this long, since the provider may have moved its keys. */
const DISCOVERY_TTL_MS = 24 * 60 * 60 * 1000
/** Keys are fetched again after this long, and at once for an unknown one, but not more often than every 30 s. */
const KEYS_MAX_AGE_MS = 10 * 60 * 1000
const KEYS_COOLDOWN_MS = 30_000

const Document = Type.Object({
  issuer: Type.String(),
  jwks_uri: Type.String({ pattern: '^https?://' }),
  userinfo_endpoint: Type.Optional(Type.String({ pattern: '^https?://' })),
})

/** A provider's discovery document. */
export interface Discovered {
  /** `iss` exactly as in its tokens. */
  readonly issuer: string
  readonly keys: RemoteJWKSet
  readonly userinfoEndpoint: string | undefined
}

/** Returns the document; fetches it when first needed. Throws the error of a fetch, without asking again for 5 s. */
export type Discovery = () => Promise<Discovered>

/** `now` in milliseconds. */
export function createDiscovery(options: { issuer: string; log: Logger; now: () => number }): Discovery {
  const { issuer, log, now } = options
  let known: { discovered: Promise<Discovered>; until: number } | undefined
  let lastGood: Discovered | undefined

  async function discover(): Promise<Discovered> {
    const response = await fetchFromProvider(`${issuer}/.well-known/openid-configuration`)
    const document: unknown = await response.json()
    if (!Value.Check(Document, document)) throw new Error(`${issuer} has no valid discovery document`)
    if (trimIssuer(document.issuer) !== issuer) {
      throw new Error(`${issuer} says to be ${document.issuer}`)
    }
    const keys = createRemoteJWKSet(new URL(document.jwks_uri), {
      timeoutDuration: PROVIDER_DEADLINE_MS,
      cooldownDuration: KEYS_COOLDOWN_MS,
      cacheMaxAge: KEYS_MAX_AGE_MS,
      [customFetch]: fetchFromProvider,
    })
    return { issuer: document.issuer, keys, userinfoEndpoint: document.userinfo_endpoint }
  }

  /** Fetches the document; returns the last good one while the provider cannot be asked. */
  async function ask(): Promise<Discovered> {
    try {
      lastGood = await discover()
      return lastGood
    } catch (error) {
      log.warn({ err: error, issuer }, 'cannot ask an OpenID provider about itself')
      if (known !== undefined) known.until = now() + RETRY_MS
      if (lastGood !== undefined) return lastGood
      throw error
    }
  }

  return () => {
    if (known === undefined || known.until <= now()) known = { discovered: ask(), until: now() + DISCOVERY_TTL_MS }
    return known.discovered
  }
}
