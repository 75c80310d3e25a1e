import { CreateSandbox, Sandbox, SandboxLabels } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { absentBodyIsEmpty } from '../http/optional-body.ts'
import { withClient } from '../http/with-client.ts'
import { isNewer, sendChanged } from './change-answer.ts'
import type { SandboxPresenter } from './sandbox-presenter.ts'
import type { SandboxService } from './sandbox-service.ts'

export interface SandboxRoutesOptions {
  sandboxes: SandboxService
  presenter: SandboxPresenter
}

const ById = Type.Object({ sandboxId: Type.String({ description: 'Id or name' }) })
const tags = ['sandbox']
const membership = { access: 'membership' } as const
const write = { access: 'write:sandboxes' } as const

/** The routes of `/sandbox` (§7 of the contract), over the sandbox service. */
export const sandboxRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, options) => {
  await app.register(creationRoutes, options)
  await app.register(sandboxByIdRoutes, options)
  await app.register(lifeCycleRoutes, options)
}

const creationRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes, presenter }) => {
  const summary = 'Create a sandbox'
  const description =
    'Answers when it has started, or with 400 after 30 seconds, while it goes on starting. With `buildInfo` it answers at once, ' +
    'in whatever state the sandbox is then.'
  app.post(
    '/sandbox',
    {
      config: write,
      schema: { tags, summary, description, body: CreateSandbox, response: { 200: Sandbox } },
      preValidation: absentBodyIsEmpty,
    },
    async (request) => {
      const { principal, body } = request
      return presenter.present(
        request,
        await withClient(request, (signal) => sandboxes.create(principal, body, signal)),
      )
    },
  )
}

const sandboxByIdRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes, presenter }) => {
  const getSchema = { tags, summary: 'Get a sandbox', params: ById, response: { 200: Sandbox } }
  app.get('/sandbox/:sandboxId', { config: membership, schema: getSchema }, async (request) =>
    presenter.present(request, await sandboxes.get(request.principal, request.params.sandboxId)),
  )

  const summary = 'Delete a sandbox, whatever it is doing'
  app.delete(
    '/sandbox/:sandboxId',
    {
      config: { access: 'delete:sandboxes' },
      schema: { tags, summary, params: ById, response: { 200: Sandbox } },
    },
    async (request) => presenter.present(request, await sandboxes.delete(request.principal, request.params.sandboxId)),
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

const lifeCycleRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes, presenter }) => {
  const summary = 'Start a sandbox that is stopped or archived'
  const description =
    'Answers when it has started, or with 400 after 30 seconds, while it goes on starting. Of an archived one it answers at once, ' +
    'as `restoring`. A started one is refused, but for newer SDKs, which are answered with it.'
  app.post(
    '/sandbox/:sandboxId/start',
    { config: write, schema: { tags, summary, description, params: ById, response: { 200: Sandbox } } },
    async (request) => {
      const { principal, params } = request
      const start = (signal: AbortSignal) =>
        sandboxes.start(principal, params.sandboxId, { signal, orStarted: isNewer(request) })
      return presenter.present(request, await withClient(request, start))
    },
  )

  app.post(
    '/sandbox/:sandboxId/stop',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Stop a sandbox; answers in an instant, older SDKs without a body', params: ById },
        response: { 200: Sandbox },
        querystring: Type.Object({
          force: Type.Optional(Type.Boolean({ description: 'Give its processes no time to end' })),
        }),
      },
    },
    async (request, reply) => {
      const { principal, params, query } = request
      const force = query.force === true
      const stop = (signal: AbortSignal) => sandboxes.stop(principal, params.sandboxId, { force, signal })
      return sendChanged(reply, presenter.present(request, await withClient(request, stop)))
    },
  )
}
