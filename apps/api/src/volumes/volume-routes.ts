import { CreateVolume, ListVolumes, Volume } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { VolumeService } from './volume-service.ts'

export interface VolumeRoutesOptions {
  volumes: VolumeService
}

const ById = Type.Object({ volumeId: Type.String({ description: 'Id or name' }) })
const ByName = Type.Object({ name: Type.String() })
const tags = ['volumes']
const read = { access: 'read:volumes' } as const

/** Daytona's `/volumes` (§10 of the contract), over the volume service. */
export const volumeRoutes: FastifyPluginAsyncTypebox<VolumeRoutesOptions> = async (app, { volumes }) => {
  app.get(
    '/volumes',
    {
      config: read,
      schema: { tags, summary: 'List volumes', querystring: ListVolumes, response: { 200: Type.Array(Volume) } },
    },
    ({ principal, query }) => volumes.list(principal, query.includeDeleted ?? false),
  )

  app.post(
    '/volumes',
    {
      config: { access: 'write:volumes' },
      schema: { tags, summary: 'Begin to make a volume', body: CreateVolume, response: { 200: Volume } },
    },
    ({ principal, body }) => volumes.create(principal, body),
  )

  app.get(
    '/volumes/:volumeId',
    { config: read, schema: { tags, summary: 'Get a volume', params: ById, response: { 200: Volume } } },
    ({ principal, params }) => volumes.get(principal, params.volumeId),
  )

  app.get(
    '/volumes/by-name/:name',
    { config: read, schema: { tags, summary: 'Get a volume by its name', params: ByName, response: { 200: Volume } } },
    ({ principal, params }) => volumes.getByName(principal, params.name),
  )

  app.delete(
    '/volumes/:volumeId',
    {
      config: { access: 'delete:volumes' },
      schema: { tags, summary: 'Delete a volume that no sandbox has; answers at once, with no body', params: ById },
    },
    async ({ principal, params }, reply) => {
      await volumes.delete(principal, params.volumeId)
      return reply.send()
    },
  )
}
