import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import type { JWK } from 'jose'
import { exportJWK, generateKeyPair } from 'jose'
import type { AdapterFactory, AdapterPayload, Configuration, JWKS } from 'oidc-provider'
import Provider from 'oidc-provider'

/** The audience of the test provider's tokens. */
export const OIDC_AUDIENCE = 'https://atoll.example.org/api'
export const OIDC_CLIENT_ID = 'atoll-cli'
const MACHINE = { client_id: 'machine', client_secret: 'of the machine' }
const REDIRECT_URI = 'https://atoll.example.org/callback'

/** A person with an account at the provider. */
export interface OidcPerson {
  sub: string
  name?: string
  email?: string
  email_verified?: boolean
}

/** A real OpenID provider on a free port, whose sign-in page accepts the person that the test names. */
export interface OidcServer {
  readonly issuer: string
  /** The private keys that it signs with now, the first before the others. */
  readonly keys: readonly JWK[]
  /** Signs a person in with an authorization code and PKCE, as a browser would, and returns the access token. */
  signIn(person: OidcPerson): Promise<string>
  /** Returns the token of a program, by client credentials. */
  machineToken(): Promise<string>
  /** Replaces the key: the provider signs with a new one and no longer publishes the old one. */
  rotate(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts a provider. The caller disposes it. */
export async function createOidcServer(): Promise<OidcServer> {
  const people = new Map<string, OidcPerson>()
  let keys = [await newKey()]
  let provider: Provider | undefined
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/interaction/')) void finishInteraction(provider, request, response)
    else void provider?.callback()(request, response)
  })
  const issuer = await listen(server)
  provider = createProvider(issuer, keys, people)

  return {
    issuer,
    get keys() {
      return keys
    },
    async signIn(person) {
      people.set(person.sub, person)
      return await signIn(issuer, person.sub)
    },
    machineToken: () =>
      tokenOf(issuer, { grant_type: 'client_credentials', resource: OIDC_AUDIENCE, scope: 'api', ...MACHINE }),
    async rotate() {
      keys = [await newKey()]
      provider = createProvider(issuer, keys, people)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await promisify(server.close.bind(server))()
    },
  }
}

async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return { ...(await exportJWK(privateKey)), kid: randomBytes(8).toString('hex'), alg: 'RS256', use: 'sig' }
}

function createProvider(issuer: string, keys: readonly JWK[], people: ReadonlyMap<string, OidcPerson>): Provider {
  const resource = { scope: 'api', audience: OIDC_AUDIENCE, accessTokenFormat: 'jwt', accessTokenTTL: 3600 } as const
  const configuration: Configuration = {
    adapter: createMemoryAdapter(),
    jwks: { keys } as JWKS,
    cookies: { keys: ['only for tests'] },
    clients: [
      { ...MACHINE, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
      { client_id: OIDC_CLIENT_ID, redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'none' },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ ...resource, jwt: { sign: { alg: 'RS256' } } }),
      },
    },
    findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ ...people.get(sub), sub }) }),
    extraTokenClaims: (_context, token) => ('accountId' in token ? { ...people.get(token.accountId) } : {}),
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    ttl: { AccessToken: 3600, ClientCredentials: 3600, Grant: 3600, IdToken: 3600, Interaction: 600, Session: 600 },
  }
  return new Provider(issuer, configuration)
}

/**
 * Keeps the provider's tokens and sessions while the provider exists. Its own default does the same but prints a
 * warning.
 */
function createMemoryAdapter(): AdapterFactory {
  const stored = new Map<string, AdapterPayload>()
  return (model) => ({
    async upsert(id, payload) {
      stored.set(`${model} ${id}`, payload)
    },
    find: async (id) => stored.get(`${model} ${id}`),
    findByUid: async (uid) => [...stored.values()].find((payload) => payload.uid === uid),
    findByUserCode: async () => undefined,
    async consume(id) {
      const payload = stored.get(`${model} ${id}`)
      if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000)
    },
    async destroy(id) {
      stored.delete(`${model} ${id}`)
    },
    revokeByGrantId: async () => undefined,
  })
}

/** Does what the pages for sign-in and consent would do: signs in the person of the client's `login_hint`. */
async function finishInteraction(provider: Provider | undefined, request: IncomingMessage, response: ServerResponse) {
  if (provider === undefined) throw new Error('the provider is not ready')
  const { params, prompt, session } = await provider.interactionDetails(request, response)
  if (prompt.name === 'login') {
    const login = { accountId: String(params['login_hint']) }
    await provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false })
    return
  }
  const grant = new provider.Grant({ accountId: session?.accountId ?? '', clientId: String(params['client_id']) })
  grant.addOIDCScope('openid email profile')
  grant.addResourceScope(OIDC_AUDIENCE, 'api')
  const consent = { grantId: await grant.save() }
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true })
}

async function signIn(issuer: string, sub: string): Promise<string> {
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    ...{ client_id: OIDC_CLIENT_ID, redirect_uri: REDIRECT_URI, response_type: 'code', login_hint: sub },
    ...{ scope: 'openid email profile api', resource: OIDC_AUDIENCE, code_challenge_method: 'S256' },
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  })
  const code = await follow(`${issuer}/auth?${query}`)
  const grant = { grant_type: 'authorization_code', code, code_verifier: verifier }
  return await tokenOf(issuer, { ...grant, client_id: OIDC_CLIENT_ID, redirect_uri: REDIRECT_URI })
}

/** Follows redirects with cookies, as a browser does, up to the client's own page, and returns the code there. */
async function follow(start: string): Promise<string> {
  const cookies = new Map<string, string>()
  let url = start
  for (let hop = 0; hop < 10; hop++) {
    const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
    const response = await fetch(url, { redirect: 'manual', headers })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      cookies.set(name, value)
    }
    const location = response.headers.get('location')
    if (location === null) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
    const target = new URL(location, url)
    if (target.href.startsWith(REDIRECT_URI)) return target.searchParams.get('code') ?? ''
    url = target.href
  }
  throw new Error('too many redirects')
}

async function tokenOf(issuer: string, body: Record<string, string>): Promise<string> {
  const response = await fetch(`${issuer}/token`, { method: 'POST', body: new URLSearchParams(body) })
  const answer = (await response.json()) as { access_token?: string }
  if (answer.access_token === undefined) throw new Error(`no token: ${JSON.stringify(answer)}`)
  return answer.access_token
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}
