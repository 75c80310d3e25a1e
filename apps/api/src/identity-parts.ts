import type { Logger } from '@atoll/service'
import type { ApiKeyService } from './api-keys/api-key-service.ts'
import { createApiKeyService } from './api-keys/api-key-service.ts'
import { createApiKeyStore } from './api-keys/api-key-store.ts'
import { createApiKeyUse } from './api-keys/api-key-use.ts'
import type { Authenticator } from './auth/authenticator.ts'
import { createAuthenticator } from './auth/authenticator.ts'
import type { Authorizer } from './auth/authorizer.ts'
import { createAuthorizer } from './auth/authorizer.ts'
import { createFailureGate } from './auth/failure-gate.ts'
import { createKeyVerifier } from './auth/key-verifier.ts'
import { createMembershipCache } from './auth/membership-cache.ts'
import { createServiceKeyVerifier } from './auth/service-key-verifier.ts'
import { createTokenVerifier } from './auth/token-verifier.ts'
import type { Config, Secrets } from './config.ts'
import type { Database } from './database/database.ts'
import type { DatabaseListener } from './database/listener.ts'
import type { LinkingService } from './oidc/linking-service.ts'
import { createOidcParts } from './oidc/oidc-parts.ts'
import { createMembershipStore } from './organizations/membership-store.ts'
import type { Sealer } from './secrets/sealer.ts'
import { createAccessTokens } from './sign-in/access-tokens.ts'
import { createPasswordHasher } from './sign-in/password-hasher.ts'
import type { PasswordService } from './sign-in/password-service.ts'
import { createPasswordService } from './sign-in/password-service.ts'
import { createSignInLimits } from './sign-in/sign-in-limits.ts'
import type { SignInService } from './sign-in/sign-in-service.ts'
import { createSignInService } from './sign-in/sign-in-service.ts'
import { createSignInStore } from './sign-in/sign-in-store.ts'
import { createSignInUpkeep } from './sign-in/sign-in-upkeep.ts'
import type { SigningKeys } from './sign-in/signing-keys.ts'
import { createSigningKeys } from './sign-in/signing-keys.ts'
import type { UserService } from './users/user-service.ts'
import { createUserService } from './users/user-service.ts'

export interface IdentityPartsOptions {
  database: Database
  /** A listener that has not been started. */
  listener: DatabaseListener
  sealer: Sealer
  config: Config
  secrets: Secrets
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The parts that find the caller and decide what they may do. */
export interface IdentityParts {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly apiKeys: ApiKeyService
  readonly users: UserService
  readonly signIns: SignInService
  readonly passwords: PasswordService
  readonly signingKeys: SigningKeys
  readonly linking: LinkingService
  /** Starts to delete expired rows. */
  start(): void
  /** Writes pending data. */
  close(): Promise<void>
}

/** Makes the parts in the order of their dependencies. The caller starts and closes them. */
export function createIdentityParts(options: IdentityPartsOptions): IdentityParts {
  const { database, listener, sealer, config, secrets, log, now } = options
  const gate = createFailureGate(now)
  const apiKeyStore = createApiKeyStore(database.db)
  const apiKeyUse = createApiKeyUse({ store: apiKeyStore, log, now })
  const { findHolder } = apiKeyStore
  const keys = createKeyVerifier({ findHolder, onUse: apiKeyUse.record, gate, listener, now })

  const signInStore = createSignInStore(database.db)
  const signingKeys = createSigningKeys({ database, sealer, now })
  const tokens = createAccessTokens({ keys: signingKeys, store: signInStore, publicUrl: config.publicUrl, now })
  const limits = createSignInLimits(database)
  const hasher = createPasswordHasher()
  const upkeep = createSignInUpkeep({ deleteExpired: [signInStore.deleteExpired, limits.deleteExpired], log, now })

  const { issuers, linking } = createOidcParts({ database, config, log, now })
  const { find } = createMembershipStore(database.db)
  return {
    authenticator: createAuthenticator({
      verifiers: [
        createServiceKeyVerifier({ proxy: secrets.proxyApiKey }),
        keys,
        createTokenVerifier({ issuers: [tokens, ...issuers], gate, listener, now }),
      ],
    }),
    authorizer: createAuthorizer({ findMembership: createMembershipCache({ find, listener }) }),
    apiKeys: createApiKeyService({ store: apiKeyStore }),
    users: createUserService({ database, sealer }),
    signIns: createSignInService({ database, hasher, limits, tokens, gate, now }),
    passwords: createPasswordService({ database, hasher, limits }),
    signingKeys,
    linking,
    start: upkeep.start,
    async close() {
      await upkeep.close()
      await apiKeyUse.close()
    },
  }
}
