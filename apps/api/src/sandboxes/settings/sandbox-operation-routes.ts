import { Sandbox, UpdateNetworkSettings, UpdateResources } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { withClient } from '../../http/with-client.ts'
import { sendChanged } from '../change-answer.ts'
import type { SandboxPresenter } from '../sandbox-presenter.ts'
import type { SandboxOperations } from './sandbox-operations.ts'

export interface SandboxOperationRoutesOptions {
  operations: SandboxOperations
  presenter: SandboxPresenter
}

const ById = Type.Object({ sandboxId: Type.String({ description: 'Id or name' }) })
const tags = ['sandbox']
const write = { access: 'write:sandboxes' } as const
const response = { 200: Sandbox }

/** Routes that change a sandbox as a whole: the rest of `/sandbox` (§7 and §20.1 of the contract). */
export const sandboxOperationRoutes: FastifyPluginAsyncTypebox<SandboxOperationRoutesOptions> = async (
  app,
  options,
) => {
  const { operations, presenter } = options
  app.post(
    '/sandbox/:sandboxId/archive',
    {
      config: write,
      schema: { tags, summary: 'Move a stopped sandbox to the object store; answers at once', params: ById, response },
    },
    async (request, reply) => {
      const archived = await operations.archive(request.principal, request.params.sandboxId)
      return sendChanged(reply, presenter.present(request, archived))
    },
  )

  app.post(
    '/sandbox/:sandboxId/backup',
    {
      config: write,
      schema: { tags, summary: 'Copy its files to the object store; answers at once', params: ById, response },
    },
    async (request) => presenter.present(request, await operations.backUp(request.principal, request.params.sandboxId)),
  )

  app.post(
    '/sandbox/:sandboxId/resize',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Give it other resources; answers at once', params: ById, body: UpdateResources, response },
        description: 'A running sandbox only gets more cpu and memory; a stopped one any, and more disk.',
      },
    },
    async (request) => {
      const { principal, params, body } = request
      return presenter.present(request, await operations.resize(principal, params.sandboxId, body))
    },
  )

  app.post(
    '/sandbox/:sandboxId/recover',
    {
      config: write,
      schema: {
        ...{
          tags,
          summary: 'Bring it back from an error that left its files; answers at once',
          params: ById,
          response,
        },
        description:
          'Of a sandbox whose runner is lost, or has its files no more, it brings back the files of its last backup: what changed since `backupCreatedAt` is lost. They come to any runner of its region with room: another one, or the same where that is there again.',
        querystring: Type.Object({
          skipStart: Type.Optional(Type.Boolean({ description: 'Leave it stopped, or archived' })),
        }),
      },
    },
    async (request) => {
      const { principal, params, query } = request
      const recovered = await operations.recover(principal, params.sandboxId, { start: query.skipStart !== true })
      return presenter.present(request, recovered)
    },
  )

  app.post(
    '/sandbox/:sandboxId/network-settings',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Change what it reaches, open connections included', params: ById },
        ...{ body: UpdateNetworkSettings, response },
        description: 'Answers once it is in force. Letting everything through again drops the allow list.',
      },
    },
    async (request) => {
      const { principal, params, body: settings } = request
      const set = (signal: AbortSignal) => operations.setNetwork(principal, params.sandboxId, { settings, signal })
      return presenter.present(request, await withClient(request, set))
    },
  )
}
