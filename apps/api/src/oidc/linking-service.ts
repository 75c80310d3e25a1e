import type { AccountProvider, LinkAccount } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Caller } from '../auth/principal.ts'
import type { VerifiedToken } from '../auth/token-verifier.ts'
import type { Database } from '../database/database.ts'
import { copyMemberships } from '../organizations/membership-copy.ts'
import { createSignInStore } from '../sign-in/sign-in-store.ts'
import { userNotFound } from '../users/user-service.ts'
import type { UserRow } from '../users/user-store.ts'
import { createUserStore } from '../users/user-store.ts'
import type { LinkedUser } from './linked-account-store.ts'
import { createLinkedAccountStore } from './linked-account-store.ts'
import { toProfile } from './oidc-profile.ts'
import type { OidcProvider } from './oidc-provider.ts'

export interface LinkingServiceOptions {
  database: Database
  providers: readonly OidcProvider[]
  /** The provider whose subjects are user ids. */
  mainProvider: string | undefined
  verifyToken: (provider: OidcProvider, token: string) => Promise<VerifiedToken | undefined>
}

/** Links several accounts of OpenID providers to one user. Calls throw LINKING_NOT_CONFIGURED where there is no provider. */
export interface LinkingService {
  providers(caller: Caller): Promise<AccountProvider[]>
  /**
   * Links an account and gives the caller the memberships of its former user. Throws ACCOUNT_ALREADY_LINKED; FORBIDDEN
   * for a key, an unverified email or without a proof; UNAUTHORIZED for a token that does not belong to the account.
   */
  link(caller: Caller, wanted: LinkAccount): Promise<void>
  /**
   * Throws ACCOUNT_NOT_LINKED, FORBIDDEN as `link` does, and BAD_REQUEST for the last way to sign in and for the
   * account whose subject is the user's own id: its next sign-in would lead to the same user again.
   */
  unlink(caller: Caller, account: { provider: string; subject: string }): Promise<void>
}

export function createLinkingService(options: LinkingServiceOptions): LinkingService {
  const { database, providers, mainProvider, verifyToken } = options
  const store = createLinkedAccountStore(database.db)

  function providerOf(name: string): OidcProvider {
    const provider = providers.find((candidate) => candidate.name === name)
    if (provider === undefined) throw notConfigured(`There is no account provider ${name}`)
    return provider
  }

  async function verifiedUser({ kind, userId }: Caller): Promise<UserRow> {
    // A linked account can sign in as its user, which is more than a key allows.
    if (kind !== 'accessToken') throw new AppError('FORBIDDEN', 'Sign in to do this; an API key is not enough')
    const user = await createUserStore(database.db).find(userId)
    if (user === undefined) throw userNotFound(userId)
    if (!user.emailVerified) throw new AppError('FORBIDDEN', 'Verify your email address first')
    return user
  }

  return {
    async providers({ userId }) {
      if (providers.length === 0) throw notConfigured('No account provider is configured')
      const linked = await store.listOf(userId)
      return providers.map(({ name, displayName, issuer }) => ({
        ...{ name, provider: name, displayName },
        linked: linked.some((account) => account.issuer === issuer),
      }))
    },
    async link(caller, wanted) {
      const provider = providerOf(wanted.provider)
      const user = await verifiedUser(caller)
      const token = wanted.token === undefined ? undefined : await verifyToken(provider, wanted.token)
      if (wanted.token !== undefined && token?.subject !== wanted.userId) {
        throw new AppError('UNAUTHORIZED', 'The token is not one of that account')
      }
      const identity = { issuer: provider.issuer, subject: wanted.userId }
      await database.transaction(async (tx) => {
        const accounts = createLinkedAccountStore(tx)
        await accounts.lock(identity)
        const known = await accounts.find(identity)
        if (known?.userId === user.id) {
          throw new AppError('ACCOUNT_ALREADY_LINKED', 'The account is linked to you already')
        }
        if (token === undefined && !isSamePerson(user, known)) throw unproven()
        if (known === undefined) {
          const { email = '', emailVerified } = toProfile(token?.claims ?? {})
          await accounts.insert({ ...identity, userId: user.id, email, emailVerified })
        } else {
          await copyMemberships(tx, { from: known.userId, to: user.id })
          await accounts.update(identity, { userId: user.id })
        }
      })
    },
    async unlink(caller, account) {
      const { issuer } = providerOf(account.provider)
      const { id } = await verifiedUser(caller)
      const identity = { issuer, subject: account.subject }
      await database.transaction(async (tx) => {
        const accounts = createLinkedAccountStore(tx)
        // Of two calls that remove the last two ways to sign in, one must see the other's change.
        await accounts.lock({ issuer: 'user', subject: id })
        const linked = await accounts.listOf(id)
        if (!linked.some(({ issuer: at, subject }) => at === issuer && subject === account.subject)) {
          throw new AppError('ACCOUNT_NOT_LINKED', 'The account is not linked to you')
        }
        if (account.provider === mainProvider && account.subject === id) {
          throw new AppError('BAD_REQUEST', 'The account is the one that you are named by')
        }
        if (linked.length === 1 && (await createSignInStore(tx).findPassword({ userId: id })) === undefined) {
          throw new AppError('BAD_REQUEST', 'The account is your only way to sign in')
        }
        await accounts.delete(identity)
      })
    },
  }
}

/** Whether a verified address proves that both are one person: the account's provider must have verified the same address. */
function isSamePerson(user: UserRow, account: LinkedUser | undefined): boolean {
  if (account === undefined || !account.emailVerified || user.email === '') return false
  return account.email.toLowerCase() === user.email.toLowerCase()
}

function unproven(): AppError {
  return new AppError('FORBIDDEN', 'Send a token of that account to show that it is yours')
}

function notConfigured(message: string): AppError {
  return new AppError('LINKING_NOT_CONFIGURED', message)
}
