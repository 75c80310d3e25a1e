import { CreateWarmPool, UpdateWarmPool, WarmPool } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { WarmPoolService } from './warm-pool-service.ts'

export interface WarmPoolRoutesOptions {
  warmPools: WarmPoolService
}

const ById = Type.Object({ id: Type.String() })
const tags = ['warm-pools']
const write = { access: 'write:sandboxes' } as const

/** Daytona's `/warm-pools` (§20.1 of the contract, SDK 0.218), over the warm pool service. */
export const warmPoolRoutes: FastifyPluginAsyncTypebox<WarmPoolRoutesOptions> = async (app, { warmPools }) => {
  app.get(
    '/warm-pools',
    {
      config: { access: 'membership' },
      schema: { tags, summary: "List the organization's warm pools", response: { 200: Type.Array(WarmPool) } },
    },
    ({ principal }) => warmPools.list(principal),
  )

  app.post(
    '/warm-pools',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Keep sandboxes of a snapshot ready for creates', body: CreateWarmPool },
        response: { 200: WarmPool },
      },
    },
    ({ principal, body }) => warmPools.create(principal, body),
  )

  app.patch(
    '/warm-pools/:id',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Change the size of a warm pool; 0 empties it', params: ById, body: UpdateWarmPool },
        response: { 200: WarmPool },
      },
    },
    ({ principal, params, body }) => warmPools.resize(principal, params.id, body.pool),
  )

  app.delete(
    '/warm-pools/:id',
    {
      config: { access: 'delete:sandboxes' },
      schema: { tags, summary: 'Delete a warm pool and what waits in it; answers with no body', params: ById },
    },
    async ({ principal, params }, reply) => {
      await warmPools.delete(principal, params.id)
      return reply.send()
    },
  )
}
