import { AppError } from '@atoll/protocol'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Authenticator } from './authenticator.ts'
import type { Permission } from './permission.ts'
import type { Principal } from './principal.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler of the authenticated scope; there is none elsewhere. */
    principal: Principal
  }
  interface FastifyContextConfig {
    /** What the principal must be allowed; `membership` is met by whoever belongs to the organization. */
    permission?: Permission | 'membership'
  }
}

/**
 * Makes its scope authenticated: each route registered in it must declare `config.permission`, and is reached only
 * with a valid credential (else 401) that has this permission (else 403).
 */
export const authenticated = fastifyPlugin<{ authenticator: Authenticator }>(
  async (app: FastifyInstance, { authenticator }) => {
    app.decorateRequest('principal')
    app.addHook('onRoute', ({ config, method, url }) => {
      if (config?.permission === undefined) throw new Error(`${method} ${url} declares no permission`)
    })
    app.addHook('onRequest', async (request) => {
      request.principal = await authenticator.authenticate(request.headers.authorization)
      requirePermission(request.principal, request.routeOptions.config.permission)
    })
  },
  { name: 'authenticated' },
)

/**
 * Throws FORBIDDEN unless the principal may. A key needs the permission in its own list even when its holder owns
 * the organization; a system administrator passes always.
 */
export function requirePermission(principal: Principal, permission: Permission | 'membership' | undefined): void {
  if (permission === undefined || permission === 'membership' || principal.systemRole === 'admin') return
  if (principal.permissions.has(permission)) return
  throw new AppError('FORBIDDEN', `The API key lacks the permission ${permission}`)
}
