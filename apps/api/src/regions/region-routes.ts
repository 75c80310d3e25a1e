import { CreateRegion, CreateRegionResponse, Region, UpdateRegion } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { RegionService } from './region-service.ts'

const ById = Type.Object({ id: Type.String({ maxLength: 64 }) })
const Regions = Type.Array(Region)
const tags = ['regions']

/** Serves the public list of regions: newer clients ask for it without a credential. */
export const sharedRegionRoutes: FastifyPluginAsyncTypebox<{ regions: RegionService }> = async (app, { regions }) => {
  const summary = 'Regions that everybody may use'
  app.get('/shared-regions', { schema: { tags, summary, response: { 200: Regions } } }, () => regions.listShared())
}

/** Serves the regions in which sandboxes may be made (§20.1 of the contract). */
export const regionRoutes: FastifyPluginAsyncTypebox<{ regions: RegionService }> = async (app, { regions }) => {
  app.get(
    '/regions',
    {
      config: { access: 'membership' },
      schema: { tags, summary: 'Regions that the organization may use', response: { 200: Regions } },
    },
    (request) => regions.list(request.principal),
  )
  app.post(
    '/regions',
    {
      config: { access: 'write:regions' },
      schema: {
        tags,
        summary: 'Make a region of its own',
        body: CreateRegion,
        response: { 201: CreateRegionResponse },
      },
    },
    async (request, reply) => reply.code(201).send(await regions.create(request.principal, request.body)),
  )
  app.get(
    '/regions/:id',
    {
      config: { access: 'membership' },
      schema: { tags, summary: 'A region that the organization may use', params: ById, response: { 200: Region } },
    },
    (request) => regions.get(request.principal, request.params.id),
  )
  app.patch(
    '/regions/:id',
    {
      config: { access: 'write:regions' },
      schema: { tags, summary: 'Change a region of its own', params: ById, body: UpdateRegion },
    },
    async (request, reply) => {
      await regions.update(request.principal, request.params.id, request.body)
      return reply.code(200).send()
    },
  )
  app.delete(
    '/regions/:id',
    {
      config: { access: 'delete:regions' },
      schema: { tags, summary: 'Delete a region of its own that nothing is in', params: ById },
    },
    async (request, reply) => {
      await regions.delete(request.principal, request.params.id)
      return reply.code(204).send()
    },
  )
}
