import { AppError, CreateSandbox, Sandbox, SandboxLabels } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { SandboxService } from './sandbox-service.ts'

export interface SandboxRoutesOptions {
  sandboxes: SandboxService
}

const ById = Type.Object({ sandboxId: Type.String() })
const ListQuery = Type.Object({
  verbose: Type.Optional(Type.Boolean({ description: 'Has no effect' })),
  labels: Type.Optional(Type.String({ description: 'JSON object; sandboxes with all of these labels' })),
})
const Labels = Type.Record(Type.String(), Type.String())
const tags = ['sandbox']
const membership = { permission: 'membership' } as const
const write = { permission: 'write:sandboxes' } as const

/** Daytona's `/sandbox` (§7 of the contract), over the sandbox service. */
export const sandboxRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, options) => {
  await app.register(collectionRoutes, options)
  await app.register(sandboxByIdRoutes, options)
  await app.register(lifeCycleRoutes, options)
}

const collectionRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes }) => {
  const listSchema = { tags, summary: 'List sandboxes', querystring: ListQuery, response: { 200: Type.Array(Sandbox) } }
  app.get('/sandbox', { config: membership, schema: listSchema }, (request) =>
    sandboxes.list(request.principal, parseLabels(request.query.labels)),
  )

  const summary = 'Create a sandbox and wait until it has started'
  app.post(
    '/sandbox',
    {
      config: write,
      schema: { tags, summary, body: CreateSandbox, response: { 200: Sandbox } },
      // Every field is optional, so an absent body is an empty one.
      preValidation: async (request) => {
        request.body ??= {}
      },
    },
    (request) => withClient(request, (signal) => sandboxes.create(request.principal, request.body, signal)),
  )
}

const sandboxByIdRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes }) => {
  const getSchema = { tags, summary: 'Get a sandbox', params: ById, response: { 200: Sandbox } }
  app.get('/sandbox/:sandboxId', { config: membership, schema: getSchema }, (request) =>
    sandboxes.get(request.principal, request.params.sandboxId),
  )

  const summary = 'Delete a sandbox, whatever it is doing'
  app.delete(
    '/sandbox/:sandboxId',
    {
      config: { permission: 'delete:sandboxes' },
      schema: { tags, summary, params: ById, response: { 200: Sandbox } },
    },
    (request) => sandboxes.delete(request.principal, request.params.sandboxId),
  )

  const labelsSchema = { params: ById, body: SandboxLabels, response: { 200: SandboxLabels } }
  app.put(
    '/sandbox/:sandboxId/labels',
    { config: write, schema: { tags, summary: 'Replace the labels', ...labelsSchema } },
    async ({ principal, params, body }) => ({
      labels: await sandboxes.setLabels(principal, params.sandboxId, body.labels),
    }),
  )
}

const lifeCycleRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes }) => {
  const summary = 'Start a sandbox and wait until it has started'
  app.post(
    '/sandbox/:sandboxId/start',
    { config: write, schema: { tags, summary, params: ById, response: { 200: Sandbox } } },
    (request) => withClient(request, (signal) => sandboxes.start(request.principal, request.params.sandboxId, signal)),
  )

  app.post(
    '/sandbox/:sandboxId/stop',
    { config: write, schema: { tags, summary: 'Stop a sandbox; answers at once, with no body', params: ById } },
    async (request, reply) => {
      await sandboxes.stop(request.principal, request.params.sandboxId)
      return reply.send()
    },
  )
}

/** Runs work that ends early when the client goes away. */
async function withClient<Result>(
  request: FastifyRequest,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { socket } = request.raw
  const gone = new AbortController()
  const leave = () => gone.abort(new AppError('BAD_REQUEST', 'The client closed the connection'))
  socket.once('close', leave)
  try {
    return await work(gone.signal)
  } finally {
    socket.off('close', leave)
  }
}

function parseLabels(text: string | undefined): Record<string, string> {
  if (text === undefined || text === '') return {}
  const labels = parseJson(text)
  if (Value.Check(Labels, labels)) return labels
  throw new AppError('VALIDATION_FAILED', 'querystring.labels must be a JSON object of strings')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON is as wrong as JSON that is something else.
    return undefined
  }
}
