import { AccountProvider, LinkAccount } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { LinkingService } from './linking-service.ts'

export interface LinkingRoutesOptions {
  linking: LinkingService
}

const ByAccount = Type.Object({ provider: Type.String(), providerUserId: Type.String() })
const tags = ['users']
const caller = { access: 'caller' } as const

/** Serves the linking of OpenID accounts to one user: §5 of the contract. */
export const linkingRoutes: FastifyPluginAsyncTypebox<LinkingRoutesOptions> = async (app, { linking }) => {
  const summary = 'List the providers whose accounts can be linked'
  app.get(
    '/users/account-providers',
    { config: caller, schema: { tags, summary, response: { 200: Type.Array(AccountProvider) } } },
    (request) => linking.providers(request.caller),
  )

  app.post(
    '/users/linked-accounts',
    { config: caller, schema: { tags, summary: "Make another provider's account yours too", body: LinkAccount } },
    async (request, reply) => {
      await linking.link(request.caller, request.body)
      return reply.code(204).send()
    },
  )

  app.delete(
    '/users/linked-accounts/:provider/:providerUserId',
    { config: caller, schema: { tags, summary: 'Unlink an account', params: ByAccount } },
    async (request, reply) => {
      const { provider, providerUserId: subject } = request.params
      await linking.unlink(request.caller, { provider, subject })
      return reply.code(204).send()
    },
  )
}
