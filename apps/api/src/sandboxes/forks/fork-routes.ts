import { ForkSandbox, ListForks, Sandbox } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { absentBodyIsEmpty } from '../../http/optional-body.ts'
import { withClient } from '../../http/with-client.ts'
import type { SandboxPresenter } from '../sandbox-presenter.ts'
import type { SandboxForks } from './sandbox-forks.ts'

export interface ForkRoutesOptions {
  forks: SandboxForks
  presenter: SandboxPresenter
}

const ById = Type.Object({ sandboxId: Type.String({ description: 'Id or name' }) })
const tags = ['sandbox']
const membership = { access: 'membership' } as const
const many = { 200: Type.Array(Sandbox) }

/** Routes for forks of sandboxes (§20.1 of the contract). */
export const forkRoutes: FastifyPluginAsyncTypebox<ForkRoutesOptions> = async (app, { forks, presenter }) => {
  app.post(
    '/sandbox/:sandboxId/fork',
    {
      config: { access: 'write:sandboxes' },
      schema: {
        ...{ tags, summary: 'Make a sandbox with the files of another one and wait until it has started' },
        ...{ params: ById, body: ForkSandbox, response: { 200: Sandbox } },
        description:
          'Of one that runs or has stopped, which goes on. The fork has its files as of one moment, and its settings, volumes ' +
          'included; memory and processes are not forked. It counts as any sandbox does.',
      },
      preValidation: absentBodyIsEmpty,
    },
    async (request) => {
      const { principal, params, body } = request
      const fork = (signal: AbortSignal) => forks.fork(principal, params.sandboxId, { ...body, signal })
      return presenter.present(request, await withClient(request, fork))
    },
  )

  const listSchema = { tags, summary: 'Its forks, newest first', params: ById, querystring: ListForks, response: many }
  app.get('/sandbox/:sandboxId/forks', { config: membership, schema: listSchema }, async (request) => {
    const { principal, params, query } = request
    const found = await forks.list(principal, params.sandboxId, query.includeDestroyed === true)
    return found.map((facts) => presenter.present(request, facts))
  })

  const parentSchema = { tags, summary: 'What it is a fork of', params: ById, response: { 200: Sandbox } }
  app.get('/sandbox/:sandboxId/parent', { config: membership, schema: parentSchema }, async (request) =>
    presenter.present(request, await forks.parent(request.principal, request.params.sandboxId)),
  )

  const ancestorsSchema = { tags, summary: 'Its parent, the parent of that, and so on', params: ById, response: many }
  app.get('/sandbox/:sandboxId/ancestors', { config: membership, schema: ancestorsSchema }, async (request) => {
    const found = await forks.ancestors(request.principal, request.params.sandboxId)
    return found.map((facts) => presenter.present(request, facts))
  })
}
