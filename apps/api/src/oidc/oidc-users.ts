import { randomUUID } from 'node:crypto'
import type { Logger } from '@atoll/service'
import { LRUCache } from 'lru-cache'
import type { VerifiedToken } from '../auth/token-verifier.ts'
import type { Database, Queryable } from '../database/database.ts'
import { createOrganizationStore, UNVERIFIED_EMAIL_REASON } from '../organizations/organization-store.ts'
import { createUserStore } from '../users/user-store.ts'
import type { Identity, LinkedUser } from './linked-account-store.ts'
import { createLinkedAccountStore } from './linked-account-store.ts'
import type { Discovery } from './oidc-discovery.ts'
import { fetchFromProvider } from './oidc-fetch.ts'
import type { OidcProfile } from './oidc-profile.ts'
import { toProfile } from './oidc-profile.ts'
import type { OidcProvider } from './oidc-provider.ts'

/** A provider is asked about the same user at most once in this time. */
const ASKED_TTL_MS = 60_000
const MAX_ASKED = 10_000

export interface OidcUsersOptions {
  database: Database
  /** Discoveries by the name of the provider. */
  discoveries: ReadonlyMap<string, Discovery>
  /** The provider whose subjects are user ids, as in the Daytona contract. */
  mainProvider: string | undefined
  /** Whether the personal organization of a user with an unverified email is suspended. */
  requireVerifiedEmail: boolean
  log: Logger
}

/** Finds and makes the users of OpenID identities. */
export interface OidcUsers {
  /** Makes a user with a personal organization at the first token; later updates their email address to the provider's. */
  findOrCreate(provider: OidcProvider, token: VerifiedToken): Promise<LinkedUser | undefined>
}

export function createOidcUsers(options: OidcUsersOptions): OidcUsers {
  const { database, requireVerifiedEmail } = options
  const store = createLinkedAccountStore(database.db)
  const askProfile = createProfileQuestions(options)

  async function create(provider: OidcProvider, identity: Identity, profile: OidcProfile): Promise<void> {
    const { email = '', emailVerified } = profile
    await database.transaction(async (tx) => {
      const accounts = createLinkedAccountStore(tx)
      await accounts.lock(identity)
      if ((await accounts.find(identity)) !== undefined) return
      const userId = provider.name === options.mainProvider ? identity.subject : randomUUID()
      // Ids are subjects in the contract, so an administrator may have made this user beforehand.
      const user = { id: userId, name: profile.name, email, role: 'user', emailVerified } as const
      const created = await createUserStore(tx).insertIfNew(user)
      if (created !== undefined) {
        const suspensionReason = emailVerified || !requireVerifiedEmail ? undefined : UNVERIFIED_EMAIL_REASON
        await createOrganizationStore(tx).insertPersonal(userId, { suspensionReason })
      }
      await accounts.insert({ ...identity, userId, email, emailVerified })
    })
  }

  return {
    async findOrCreate(provider, token) {
      const identity = { issuer: provider.issuer, subject: token.subject }
      const known = await store.find(identity)
      if (known !== undefined && !isNews(known, toProfile(token.claims))) return known
      const profile = await askProfile(provider, token)
      if (known === undefined) await create(provider, identity, profile)
      else await database.transaction((tx) => keepUp(tx, known, profile))
      return await store.find(identity)
    },
  }
}

/** Whether the provider may know more about the user than is stored. */
function isNews(known: LinkedUser, told: OidcProfile): boolean {
  if (told.email === undefined) return !known.emailVerified
  return told.email !== known.email || told.emailVerified !== known.emailVerified
}

/** Stores a provider's new data; the user's address changes with the account that it came from. */
async function keepUp(tx: Queryable, known: LinkedUser, { name, email, emailVerified }: OidcProfile): Promise<void> {
  if (email === undefined) return
  await createLinkedAccountStore(tx).update(known, { email, emailVerified })
  const isTheirs = known.userEmail === known.email || known.userEmail === ''
  if (!isTheirs) return
  const nameless = known.userEmail === '' && known.email === ''
  await createUserStore(tx).update(known.userId, { email, emailVerified, ...(nameless ? { name } : {}) })
  if (emailVerified) await createOrganizationStore(tx).liftPersonalSuspension(known.userId, UNVERIFIED_EMAIL_REASON)
}

/** Creates a function that asks for the profile: when an access token holds no email, it asks the provider's userinfo. */
function createProfileQuestions({ discoveries, log }: Pick<OidcUsersOptions, 'discoveries' | 'log'>) {
  const asked = new LRUCache<string, OidcProfile>({ max: MAX_ASKED, ttl: ASKED_TTL_MS })
  return async (provider: OidcProvider, { token, subject, claims }: VerifiedToken): Promise<OidcProfile> => {
    const told = toProfile(claims)
    if (told.email !== undefined) return told
    const key = `${provider.issuer} ${subject}`
    const before = asked.get(key)
    if (before !== undefined) return before
    const answer = await askUserinfo().catch((error: unknown) => {
      // The token of a machine has no person behind it; its user is admitted all the same.
      log.debug({ err: error, provider: provider.name }, 'a provider says nothing about a user')
      return {}
    })
    const profile = toProfile({ ...claims, ...answer })
    asked.set(key, profile)
    return profile

    async function askUserinfo(): Promise<Record<string, unknown>> {
      const url = (await discoveries.get(provider.name)?.())?.userinfoEndpoint
      if (url === undefined) return {}
      const response = await fetchFromProvider(url, { headers: { authorization: `Bearer ${token}` } })
      const facts: unknown = await response.json()
      const isAboutThem = typeof facts === 'object' && facts !== null && 'sub' in facts && facts.sub === subject
      return isAboutThem ? { ...facts } : {}
    }
  }
}
