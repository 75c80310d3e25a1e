import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Authenticator } from './authenticator.ts'
import type { Access, Authorizer } from './authorizer.ts'
import type { Caller, Principal } from './principal.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler of the authenticated scope, except for requests that `bringsOther`; unset elsewhere. */
    caller: Caller
    /** Set like `caller`, but not for an access token on a route that any caller or only an administrator may call. */
    principal: Principal
  }
  interface FastifyContextConfig {
    /** The access that the route requires. */
    access?: Access
    /** True for a request whose other credential the handler itself checks: it reaches the handler without a principal. */
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
