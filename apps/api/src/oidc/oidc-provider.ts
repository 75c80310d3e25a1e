import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { trimIssuer } from '../auth/issuer-name.ts'

const Provider = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' }),
    displayName: Type.String({ minLength: 1, maxLength: 128 }),
    issuer: Type.String({ pattern: '^https?://[^\\s?#]+$' }),
    clientId: Type.String({ minLength: 1, maxLength: 255 }),
    audience: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  },
  { additionalProperties: false },
)

const Providers = Type.Array(Provider, { maxItems: 16 })

/** An OpenID provider whose tokens are accepted. */
export interface OidcProvider {
  /** Names the provider in URLs, and in the accounts that clients link. */
  readonly name: string
  /** The name shown to people. */
  readonly displayName: string
  /** `iss` of its tokens, without a slash at its end. */
  readonly issuer: string
  readonly clientId: string
  /** The required `aud` of its tokens; the client id unless configured. */
  readonly audience: string
}

/** The variables that configure providers. */
export interface OidcVariables {
  ATOLL_OIDC_ISSUER?: string
  ATOLL_OIDC_CLIENT_ID?: string
  ATOLL_OIDC_AUDIENCE?: string
  ATOLL_OIDC_NAME: string
  ATOLL_OIDC_PROVIDERS?: string
}

/**
 * Returns the configured providers: first the one that clients are told of, whose subjects are user ids. Returns
 * problems as text.
 */
export function readProviders(variables: OidcVariables): { providers: OidcProvider[]; problems: string[] } {
  const main = readMain(variables)
  const further = readFurther(variables.ATOLL_OIDC_PROVIDERS)
  const providers = [...main.providers, ...further.providers].map(({ issuer, audience, ...provider }) => ({
    ...provider,
    issuer: trimIssuer(issuer),
    audience: audience ?? provider.clientId,
  }))
  const problems = [...main.problems, ...further.problems]
  if (providers.length > 0 && main.providers.length === 0) {
    problems.push('ATOLL_OIDC_PROVIDERS: ATOLL_OIDC_ISSUER must name the first provider')
  }
  for (const field of ['name', 'issuer'] as const) {
    const values = providers.map((provider) => provider[field])
    const twice = values.find((value, index) => values.indexOf(value) !== index)
    if (twice !== undefined) problems.push(`ATOLL_OIDC_PROVIDERS: there are two providers with the ${field} ${twice}`)
  }
  return { providers, problems }
}

interface Read {
  providers: Static<typeof Providers>
  problems: string[]
}

function readMain(variables: OidcVariables): Read {
  const { ATOLL_OIDC_ISSUER: issuer, ATOLL_OIDC_CLIENT_ID: clientId, ATOLL_OIDC_AUDIENCE: audience } = variables
  if (issuer === undefined && clientId === undefined && audience === undefined) return { providers: [], problems: [] }
  if (issuer === undefined || clientId === undefined) {
    return { providers: [], problems: ['ATOLL_OIDC_ISSUER and ATOLL_OIDC_CLIENT_ID must be set together'] }
  }
  const name = variables.ATOLL_OIDC_NAME
  const provider = { name, displayName: displayName(issuer), issuer, clientId }
  return { providers: [audience === undefined ? provider : { ...provider, audience }], problems: [] }
}

function readFurther(text: string | undefined): Read {
  if (text === undefined) return { providers: [], problems: [] }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { providers: [], problems: ['ATOLL_OIDC_PROVIDERS: must be a JSON array'] }
  }
  if (Value.Check(Providers, value)) return { providers: value, problems: [] }
  const [error] = Value.Errors(Providers, value)
  return {
    providers: [],
    problems: [`ATOLL_OIDC_PROVIDERS${error?.instancePath ?? ''}: ${error?.message ?? 'is wrong'}`],
  }
}

function displayName(issuer: string): string {
  return URL.canParse(issuer) ? new URL(issuer).host : issuer
}
