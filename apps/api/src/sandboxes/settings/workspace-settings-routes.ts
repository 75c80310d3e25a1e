import { UpdateWorkspaceResources, Workspace } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { SandboxPresenter } from '../sandbox-presenter.ts'
import { toWorkspace } from '../workspace-dto.ts'
import type { SandboxOperations } from './sandbox-operations.ts'
import type { SandboxSettings } from './sandbox-settings.ts'
import { Interval, isYes, YesOrNo } from './sandbox-settings-routes.ts'

export interface WorkspaceSettingsRoutesOptions {
  settings: SandboxSettings
  operations: SandboxOperations
  presenter: SandboxPresenter
}

const workspaceId = Type.String({ description: 'Id or name' })
const ById = Type.Object({ workspaceId })
const ByInterval = Type.Object({ workspaceId, interval: Interval })
const tags = ['workspace']
const write = { access: 'write:sandboxes' } as const

/** Routes for settings and operations under the older name, `/workspace` (§8 of the contract). */
export const workspaceSettingsRoutes: FastifyPluginAsyncTypebox<WorkspaceSettingsRoutesOptions> = async (
  app,
  options,
) => {
  await app.register(settingRoutes, options)
  await app.register(operationRoutes, options)
}

const settingRoutes: FastifyPluginAsyncTypebox<WorkspaceSettingsRoutesOptions> = async (app, { settings }) => {
  app.post(
    '/workspace/:workspaceId/public/:isPublic',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Let everybody see the previews, or only who shows a token' },
        params: Type.Object({ workspaceId, isPublic: YesOrNo }),
      },
    },
    async ({ principal, params }, reply) => {
      await settings.setPublic(principal, params.workspaceId, isYes(params.isPublic))
      return reply.code(201).send()
    },
  )

  app.post(
    '/workspace/:workspaceId/autostop/:interval',
    { config: write, schema: { tags, summary: 'Stop it after so long without use; 0 is never', params: ByInterval } },
    async ({ principal, params }, reply) => {
      await settings.setAutoStop(principal, params.workspaceId, params.interval)
      return reply.send()
    },
  )

  app.post(
    '/workspace/:workspaceId/autoarchive/:interval',
    {
      config: write,
      schema: { tags, summary: 'Archive it after so long stopped; 0 is the longest, 30 days', params: ByInterval },
    },
    async ({ principal, params }, reply) => {
      await settings.setAutoArchive(principal, params.workspaceId, params.interval)
      return reply.send()
    },
  )
}

const operationRoutes: FastifyPluginAsyncTypebox<WorkspaceSettingsRoutesOptions> = async (app, options) => {
  const { operations, presenter } = options
  app.post(
    '/workspace/:workspaceId/archive',
    {
      config: write,
      schema: { tags, summary: 'Move a stopped workspace to the object store; answers at once', params: ById },
    },
    async ({ principal, params }, reply) => {
      await operations.archive(principal, params.workspaceId)
      return reply.send()
    },
  )

  // Pages of this generation call a backup a snapshot.
  for (const [name, summary] of [
    ['backup', 'Copy its files to the object store; answers at once'],
    ['snapshot', 'The same as backup'],
  ] as const) {
    app.post(
      `/workspace/:workspaceId/${name}`,
      { config: write, schema: { tags, summary, params: ById, response: { 200: Workspace } } },
      async (request) => {
        const facts = await operations.backUp(request.principal, request.params.workspaceId)
        return toWorkspace(presenter.present(request, facts))
      },
    )
  }

  app.post(
    '/workspace/:workspaceId/resize',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Give it other resources; answers at once, with no body', params: ById },
        body: UpdateWorkspaceResources,
      },
    },
    async ({ principal, params, body }, reply) => {
      await operations.resizeWorkspace(principal, params.workspaceId, body)
      return reply.code(201).send()
    },
  )
}
