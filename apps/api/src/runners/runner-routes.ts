import { AppError, CreatedRunner, CreateRunner, Runner, RunnerFull, RunnerSnapshotRef } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { RunnerRegistry } from './runner-registry.ts'

export interface RunnerRoutesOptions {
  runnerRegistry: RunnerRegistry
}

const ById = Type.Object({ id: Type.String() })
const BySandbox = Type.Object({ sandboxId: Type.String() })
const Scheduling = Type.Object({ unschedulable: Type.Boolean() })
const Draining = Type.Object({ draining: Type.Boolean() })
const Runners = Type.Array(Runner)
const SnapshotRefs = Type.Array(RunnerSnapshotRef)
const MAX_REF_LENGTH = 512
const Ref = Type.Optional(Type.String({ minLength: 1, maxLength: MAX_REF_LENGTH }))
const administrator = { access: 'administrator' } as const
/** The access to routes that the preview proxy calls, too. */
const proxyToo = { access: 'administratorOrProxy' } as const
const tags = ['runners']

/** Routes of runners, which the oldest clients call nodes (§12 and §20.1 of the contract). */
export const runnerRoutes: FastifyPluginAsyncTypebox<RunnerRoutesOptions> = async (app, options) => {
  await app.register(listRoutes, { prefix: '/runners', ...options })
  await app.register(listRoutes, { prefix: '/nodes', ...options })
  await app.register(byIdRoutes, options)
  await app.register(whereRoutes, options)
}

const listRoutes: FastifyPluginAsyncTypebox<RunnerRoutesOptions> = async (app, { runnerRegistry }) => {
  app.post(
    '',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: 'Register a runner; its token is shown this once', body: CreateRunner },
        response: { 201: CreatedRunner },
      },
    },
    async (request, reply) => reply.code(201).send(await runnerRegistry.register(request.body)),
  )
  app.get(
    '',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: 'List runners', response: { 200: Runners } },
        querystring: Type.Object({ regionId: Type.Optional(Type.String({ maxLength: 255 })) }),
      },
    },
    (request) => runnerRegistry.list({ region: request.query.regionId }),
  )
  app.patch(
    '/:id/scheduling',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: 'Let it take new sandboxes, or not', params: ById, body: Scheduling },
        response: { 200: Runner },
      },
    },
    (request) => runnerRegistry.setFlags(request.params.id, { unschedulable: request.body.unschedulable }),
  )
}

const byIdRoutes: FastifyPluginAsyncTypebox<RunnerRoutesOptions> = async (app, { runnerRegistry }) => {
  app.get(
    '/runners/:id',
    { config: administrator, schema: { tags, summary: 'A runner', params: ById, response: { 200: Runner } } },
    (request) => runnerRegistry.get(request.params.id),
  )
  app.get(
    '/runners/:id/full',
    {
      config: administrator,
      schema: { tags, summary: 'A runner, with what its region is', params: ById, response: { 200: RunnerFull } },
    },
    (request) => runnerRegistry.getFull(request.params.id),
  )
  app.patch(
    '/runners/:id/draining',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: 'Let it become empty: it takes no new sandboxes', params: ById, body: Draining },
        response: { 200: Runner },
      },
    },
    (request) => runnerRegistry.setFlags(request.params.id, { draining: request.body.draining }),
  )
  app.delete(
    '/runners/:id',
    {
      config: administrator,
      schema: {
        ...{ tags, summary: 'Remove a runner on which nothing lives, or one that is lost', params: ById },
        description:
          'Refused, without `force`, while a snapshot is being made there, or no other runner has one that somebody needs. With `force`, what is on a lost runner is given up, too: sandboxes with a backup are archived, the others and volumes are in error.',
        querystring: Type.Object({ force: Type.Optional(Type.Boolean()) }),
      },
    },
    async (request, reply) => {
      await runnerRegistry.remove(request.params.id, { force: request.query.force === true })
      return reply.code(204).send()
    },
  )
}

const whereRoutes: FastifyPluginAsyncTypebox<RunnerRoutesOptions> = async (app, { runnerRegistry }) => {
  app.get(
    '/runners/by-sandbox/:sandboxId',
    {
      config: proxyToo,
      schema: { tags, summary: 'Where a sandbox lives', params: BySandbox, response: { 200: Runner } },
    },
    (request) => runnerRegistry.ofSandbox(request.params.sandboxId),
  )
  for (const url of ['/runners/by-snapshot', '/runners/by-snapshot-ref']) {
    app.get(
      url,
      {
        config: proxyToo,
        schema: {
          ...{ tags, summary: 'Runners that have a snapshot', response: { 200: SnapshotRefs } },
          querystring: Type.Object({ ref: Ref, internalName: Ref }),
        },
      },
      (request) => {
        const ref = request.query.ref ?? request.query.internalName
        if (ref === undefined) throw new AppError('VALIDATION_FAILED', 'querystring.ref is required')
        return runnerRegistry.withSnapshot(ref)
      },
    )
  }
}
