import { BuildLogsQuery, LogsUrl, Sandbox, SnapshotSandbox } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { PublicOrigin } from '../http/public-origin.ts'
import { answerBuildLog } from '../snapshots/build-log-answer.ts'
import type { BuildLogs } from '../snapshots/build-logs.ts'
import type { SandboxPresenter } from './sandbox-presenter.ts'
import type { SandboxSnapshots } from './sandbox-snapshots.ts'

export interface SandboxSnapshotRoutesOptions {
  sandboxSnapshots: SandboxSnapshots
  buildLogs: BuildLogs
  presenter: SandboxPresenter
  publicOrigin: PublicOrigin
}

const ById = Type.Object({ sandboxId: Type.String({ description: 'Id or name' }) })
const WorkspaceById = Type.Object({ workspaceId: Type.String({ description: 'Id or name' }) })
const tags = ['sandbox']
const membership = { access: 'membership' } as const

/** Routes for snapshots of sandboxes (§20.1 of the contract), and for the logs of builds that creates brought along (§7). */
export const sandboxSnapshotRoutes: FastifyPluginAsyncTypebox<SandboxSnapshotRoutesOptions> = async (app, options) => {
  const { sandboxSnapshots, buildLogs, presenter, publicOrigin } = options
  app.post(
    '/sandbox/:sandboxId/snapshot',
    {
      config: { access: 'write:snapshots' },
      schema: {
        ...{ tags, summary: 'Begin to make a snapshot of what a sandbox has now', params: ById },
        ...{ body: SnapshotSandbox, response: { 200: Sandbox } },
      },
    },
    async (request) => {
      const { principal, params, body } = request
      return presenter.present(request, await sandboxSnapshots.make(principal, params.sandboxId, body))
    },
  )

  app.get(
    '/sandbox/:sandboxId/build-logs',
    {
      config: membership,
      schema: { tags, summary: 'What its build printed', params: ById, querystring: BuildLogsQuery },
    },
    async (request, reply) => {
      const { row } = await sandboxSnapshots.buildOf(request.principal, request.params.sandboxId)
      return await answerBuildLog(request, reply, { logs: buildLogs, row })
    },
  )

  app.get(
    '/sandbox/:sandboxId/build-logs-url',
    {
      config: membership,
      schema: { tags, summary: 'Where the build logs are', params: ById, response: { 200: LogsUrl } },
    },
    async (request) => {
      const { sandboxId } = await sandboxSnapshots.buildOf(request.principal, request.params.sandboxId)
      return { url: `${publicOrigin(request)}/api/sandbox/${sandboxId}/build-logs` }
    },
  )

  app.get(
    '/workspace/:workspaceId/build-logs',
    {
      config: membership,
      schema: {
        ...{ tags: ['workspace'], summary: 'What its build printed' },
        ...{ params: WorkspaceById, querystring: BuildLogsQuery },
      },
    },
    async (request, reply) => {
      const { row } = await sandboxSnapshots.buildOf(request.principal, request.params.workspaceId)
      return await answerBuildLog(request, reply, { logs: buildLogs, row })
    },
  )
}
