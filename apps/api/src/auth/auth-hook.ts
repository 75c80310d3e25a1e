import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Authenticator } from './authenticator.ts'
import type { Access, Authorizer } from './authorizer.ts'
import type { Caller, Principal } from './principal.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler of the authenticated scope, save for what `bringsOther`; there is none elsewhere. */
    caller: Caller
    /** Likewise; not set for an access token on a route that anybody or only an administrator may call. */
    principal: Principal
  }
  interface FastifyContextConfig {
    /** Who may call. */
    access?: Access
    /** True for a request whose other credential the handler itself checks: it comes there without a principal. */
    bringsOther?: (request: FastifyRequest) => boolean
  }
}

const ORGANIZATION_HEADER = 'x-daytona-organization-id'

/**
 * Makes its scope authenticated: each route registered in it must declare `config.access`, and is reached only
 * with a valid credential (else 401) that has this access (else 403, or 404 for a foreign organization in the path).
 */
export const authenticated = fastifyPlugin<{ authenticator: Authenticator; authorizer: Authorizer }>(
  async (app: FastifyInstance, { authenticator, authorizer }) => {
    app.decorateRequest('caller')
    app.decorateRequest('principal')
    app.addHook('onRoute', ({ config, method, url }) => {
      if (config?.access === undefined) throw new Error(`${method} ${url} does not declare who has access`)
    })
    app.addHook('onRequest', async (request) => {
      const { access, bringsOther } = request.routeOptions.config
      if (bringsOther?.(request)) return
      request.caller = await authenticator.authenticate(request.headers.authorization, request.ip)
      if (access === undefined) return
      const principal = await authorizer.authorize(request.caller, access, {
        inPath: organizationInPath(request.params),
        inHeader: request.headers[ORGANIZATION_HEADER]?.toString(),
      })
      if (principal !== undefined) request.principal = principal
    })
  },
  { name: 'authenticated' },
)

function organizationInPath(params: unknown): string | undefined {
  const { organizationId } = (params ?? {}) as { organizationId?: string }
  return organizationId
}
