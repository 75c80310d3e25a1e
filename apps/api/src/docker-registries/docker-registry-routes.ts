import { CreateDockerRegistry, DockerRegistry, RegistryPushAccess, UpdateDockerRegistry } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { DockerRegistryService } from './docker-registry-service.ts'

export interface DockerRegistryRoutesOptions {
  dockerRegistries: DockerRegistryService
}

const ById = Type.Object({ id: Type.String() })
const tags = ['docker-registry']
const membership = { access: 'membership' } as const
const write = { access: 'write:registries' } as const

/** Daytona's `/docker-registry` (§11 of the contract). */
export const dockerRegistryRoutes: FastifyPluginAsyncTypebox<DockerRegistryRoutesOptions> = async (app, options) => {
  await app.register(registryRoutes, options)
  await app.register(registryByIdRoutes, options)
}

const registryRoutes: FastifyPluginAsyncTypebox<DockerRegistryRoutesOptions> = async (app, { dockerRegistries }) => {
  const created = { body: CreateDockerRegistry, response: { 201: DockerRegistry } }
  app.post(
    '/docker-registry',
    { config: write, schema: { tags, summary: 'Add a registry', ...created } },
    async ({ principal, body }, reply) => reply.code(201).send(await dockerRegistries.create(principal, body)),
  )

  const listed = { response: { 200: Type.Array(DockerRegistry) } }
  app.get(
    '/docker-registry',
    { config: membership, schema: { tags, summary: 'List the registries, newest first', ...listed } },
    async ({ principal }) => dockerRegistries.list(principal),
  )

  const summary = 'Get credentials that may push to the transient registry for an hour'
  app.get(
    '/docker-registry/registry-push-access',
    { config: write, schema: { tags, summary, response: { 200: RegistryPushAccess } } },
    async () => dockerRegistries.pushAccess(),
  )
}

const registryByIdRoutes: FastifyPluginAsyncTypebox<DockerRegistryRoutesOptions> = async (app, options) => {
  const { dockerRegistries } = options
  const response = { 200: DockerRegistry }
  app.get(
    '/docker-registry/:id',
    { config: membership, schema: { tags, summary: 'Get a registry', params: ById, response } },
    async ({ principal, params }) => dockerRegistries.get(principal, params.id),
  )

  app.patch(
    '/docker-registry/:id',
    {
      config: write,
      schema: { tags, summary: 'Change a registry', params: ById, body: UpdateDockerRegistry, response },
    },
    async ({ principal, params, body }) => dockerRegistries.update(principal, params.id, body),
  )

  app.delete(
    '/docker-registry/:id',
    { config: { access: 'delete:registries' }, schema: { tags, summary: 'Remove a registry', params: ById } },
    async ({ principal, params }, reply) => {
      await dockerRegistries.delete(principal, params.id)
      return reply.code(204).send()
    },
  )

  app.post(
    '/docker-registry/:id/set-default',
    {
      config: write,
      schema: { tags, summary: 'Make a registry the default, in place of the one before', params: ById, response },
    },
    async ({ principal, params }) => dockerRegistries.setDefault(principal, params.id),
  )
}
