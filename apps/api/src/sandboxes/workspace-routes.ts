import { CreateWorkspace, SandboxLabels, Workspace } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { absentBodyIsEmpty } from '../http/optional-body.ts'
import { withClient } from '../http/with-client.ts'
import { parseLabels } from './label-filter.ts'
import type { SandboxFacts } from './sandbox-dto.ts'
import type { SandboxRoutesOptions } from './sandbox-routes.ts'
import { toWorkspace } from './workspace-dto.ts'

const ById = Type.Object({ workspaceId: Type.String({ description: 'Id or name' }) })
const ListQuery = Type.Object({
  verbose: Type.Optional(Type.Boolean({ description: 'Has no effect' })),
  labels: Type.Optional(Type.String({ description: 'JSON object; workspaces with all of these labels' })),
})
const tags = ['workspace']
const membership = { access: 'membership' } as const
const write = { access: 'write:sandboxes' } as const

/** Routes for sandboxes under their older name, `/workspace` (§8 of the contract), over the same service. */
export const workspaceRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, options) => {
  await app.register(collectionRoutes, options)
  await app.register(workspaceByIdRoutes, options)
  await app.register(lifeCycleRoutes, options)
}

function presenting({ presenter }: SandboxRoutesOptions) {
  return (request: FastifyRequest, facts: SandboxFacts) => toWorkspace(presenter.present(request, facts))
}

const collectionRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, options) => {
  const { sandboxes } = options
  const present = presenting(options)
  app.get(
    '/workspace',
    {
      config: membership,
      schema: { tags, summary: 'List workspaces', querystring: ListQuery, response: { 200: Type.Array(Workspace) } },
    },
    async (request) => {
      const found = await sandboxes.list(request.principal, parseLabels(request.query.labels))
      return found.map((facts) => present(request, facts))
    },
  )

  const summary = 'Create a workspace; answers after at most 30 s, in whatever state it is then'
  app.post(
    '/workspace',
    {
      config: write,
      schema: { tags, summary, body: CreateWorkspace, response: { 200: Workspace } },
      preValidation: absentBodyIsEmpty,
    },
    async (request) => {
      const { principal, body } = request
      const create = (signal: AbortSignal) => sandboxes.createWorkspace(principal, body, signal)
      return present(request, await withClient(request, create))
    },
  )
}

const workspaceByIdRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, options) => {
  const { sandboxes } = options
  const present = presenting(options)
  app.get(
    '/workspace/:workspaceId',
    { config: membership, schema: { tags, summary: 'Get a workspace', params: ById, response: { 200: Workspace } } },
    async (request) => present(request, await sandboxes.get(request.principal, request.params.workspaceId)),
  )

  app.delete(
    '/workspace/:workspaceId',
    {
      config: { access: 'delete:sandboxes' },
      schema: { tags, summary: 'Delete a workspace, whatever it is doing; answers with no body', params: ById },
    },
    async (request, reply) => {
      await sandboxes.delete(request.principal, request.params.workspaceId)
      return reply.send()
    },
  )

  const labelsSchema = { params: ById, body: SandboxLabels, response: { 200: SandboxLabels } }
  app.put(
    '/workspace/:workspaceId/labels',
    { config: write, schema: { tags, summary: 'Replace the labels', ...labelsSchema } },
    async ({ principal, params, body }) => ({
      labels: await sandboxes.setLabels(principal, params.workspaceId, body.labels),
    }),
  )
}

const lifeCycleRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes }) => {
  app.post(
    '/workspace/:workspaceId/start',
    { config: write, schema: { tags, summary: 'Start a workspace; answers at once, with no body', params: ById } },
    async (request, reply) => {
      await sandboxes.askToStart(request.principal, request.params.workspaceId)
      return reply.send()
    },
  )

  app.post(
    '/workspace/:workspaceId/stop',
    { config: write, schema: { tags, summary: 'Stop a workspace; answers in an instant, with no body', params: ById } },
    async (request, reply) => {
      const { principal, params } = request
      await withClient(request, (signal) => sandboxes.stop(principal, params.workspaceId, { force: false, signal }))
      return reply.send()
    },
  )
}
