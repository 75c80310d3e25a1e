import {
  BuildImage,
  CreateImage,
  Image,
  ImagePage,
  ListSnapshots,
  SetSnapshotGeneral,
  ToggleSnapshot,
} from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { toImage } from './snapshot-dto.ts'
import type { SnapshotService } from './snapshot-service.ts'

export interface ImageRoutesOptions {
  snapshots: SnapshotService
}

const ById = Type.Object({ id: Type.String({ description: 'Id or name' }) })
const Page = Type.Pick(ListSnapshots, ['page', 'limit'])
const tags = ['images']
const membership = { access: 'membership' } as const
const write = { access: 'write:snapshots' } as const

/** Snapshots under their older name, `/images` (§9 of the contract), where the image's reference is the name. */
export const imageRoutes: FastifyPluginAsyncTypebox<ImageRoutesOptions> = async (app, options) => {
  await app.register(collectionRoutes, options)
  await app.register(imageByIdRoutes, options)
}

const collectionRoutes: FastifyPluginAsyncTypebox<ImageRoutesOptions> = async (app, { snapshots }) => {
  app.post(
    '/images',
    {
      config: write,
      schema: { tags, summary: 'Begin to pull an image', body: CreateImage, response: { 200: Image } },
    },
    async ({ principal, body }) => toImage(await snapshots.create(principal, { ...body, imageName: body.name })),
  )

  app.post(
    '/images/build',
    {
      config: write,
      schema: { tags, summary: 'Begin to build an image', body: BuildImage, response: { 200: Image } },
    },
    async ({ principal, body }) => toImage(await snapshots.create(principal, body)),
  )

  app.get(
    '/images',
    {
      config: membership,
      schema: { tags, summary: "List the organization's own images", querystring: Page, response: { 200: ImagePage } },
    },
    async ({ principal, query }) => {
      const { items, ...numbers } = await snapshots.list(principal, query, 'own')
      return { ...numbers, items: items.map(toImage) }
    },
  )
}

const imageByIdRoutes: FastifyPluginAsyncTypebox<ImageRoutesOptions> = async (app, { snapshots }) => {
  const one = { tags, params: ById }
  app.get(
    '/images/:id',
    { config: membership, schema: { ...one, summary: 'Get an image', response: { 200: Image } } },
    async ({ principal, params }) => toImage(await snapshots.get(principal, params.id)),
  )

  app.delete(
    '/images/:id',
    {
      config: { access: 'delete:snapshots' },
      schema: { ...one, summary: 'Delete an image; answers at once, with no body' },
    },
    async ({ principal, params }, reply) => {
      await snapshots.delete(principal, params.id)
      return reply.send()
    },
  )

  app.patch(
    '/images/:id/toggle',
    { config: write, schema: { ...one, summary: 'Enable or disable', body: ToggleSnapshot, response: { 200: Image } } },
    async ({ principal, params, body }) => toImage(await snapshots.setEnabled(principal, params.id, body.enabled)),
  )

  const general = { summary: 'Offer it to every organization, or not; for administrators', body: SetSnapshotGeneral }
  app.patch(
    '/images/:id/general',
    { config: { access: 'administratorInOrganization' }, schema: { ...one, ...general, response: { 200: Image } } },
    async ({ principal, params, body }) => toImage(await snapshots.setGeneral(principal, params.id, body.general)),
  )
}
