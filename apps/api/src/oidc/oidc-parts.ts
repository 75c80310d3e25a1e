import type { Logger } from '@atoll/service'
import type { TokenIssuer } from '../auth/token-verifier.ts'
import type { Config } from '../config.ts'
import type { Database } from '../database/database.ts'
import type { LinkingService } from './linking-service.ts'
import { createLinkingService } from './linking-service.ts'
import { createDiscovery } from './oidc-discovery.ts'
import { createOidcIssuer, verifyToken } from './oidc-issuer.ts'
import type { OidcProvider } from './oidc-provider.ts'
import { createOidcUsers } from './oidc-users.ts'

export interface OidcPartsOptions {
  database: Database
  config: Config
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The parts of the configured OpenID providers. No provider is asked anything before a token arrives. */
export interface OidcParts {
  readonly issuers: readonly TokenIssuer[]
  readonly linking: LinkingService
}

export function createOidcParts({ database, config, log, now }: OidcPartsOptions): OidcParts {
  const { oidcProviders: providers, requireVerifiedEmail } = config
  const mainProvider = providers[0]?.name
  const discoveries = new Map(
    providers.map(({ name, issuer }) => [name, createDiscovery({ issuer, log, now })] as const),
  )
  const users = createOidcUsers({ database, discoveries, mainProvider, requireVerifiedEmail, log })
  const withDiscovery = (provider: OidcProvider) => {
    const discovery = discoveries.get(provider.name)
    if (discovery === undefined) throw new Error(`no discovery for ${provider.name}`)
    return { provider, discovery, now }
  }
  return {
    issuers: providers.map((provider) => createOidcIssuer({ ...withDiscovery(provider), users })),
    linking: createLinkingService({
      database,
      providers,
      mainProvider,
      verifyToken: (provider, token) => verifyToken(token, withDiscovery(provider)),
    }),
  }
}
