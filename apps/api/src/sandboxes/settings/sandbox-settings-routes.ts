import { MAX_INTERVAL_MINUTES, MAX_TTL_MINUTES, Sandbox } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { sendChanged } from '../change-answer.ts'
import type { SandboxPresenter } from '../sandbox-presenter.ts'
import type { SandboxSettings } from './sandbox-settings.ts'

export interface SandboxSettingsRoutesOptions {
  settings: SandboxSettings
  presenter: SandboxPresenter
}

const sandboxId = Type.String({ description: 'Id or name' })
/** The type is not an integer, because validation would cut `1.5` down to 1. */
const minutes = { maximum: MAX_INTERVAL_MINUTES, multipleOf: 1, description: 'Whole minutes' }

/** An interval in a path, the same for both generations of clients. */
export const Interval = Type.Number({ minimum: 0, ...minutes })
export const AnyInterval = Type.Number({ minimum: -MAX_INTERVAL_MINUTES, ...minutes })
/** A yes or no in a path. */
export const YesOrNo = Type.Enum(['true', 'false', '1', '0'])

export function isYes(text: string): boolean {
  return text === 'true' || text === '1'
}

const ByInterval = Type.Object({ sandboxId, interval: Interval })
const tags = ['sandbox']
/** Older SDKs are answered without a body. */
const response = { 200: Sandbox }
const write = { access: 'write:sandboxes' } as const

/** Routes for the settings of `/sandbox` (§7 and §20.1 of the contract). */
export const sandboxSettingsRoutes: FastifyPluginAsyncTypebox<SandboxSettingsRoutesOptions> = async (app, options) => {
  const { settings, presenter } = options
  app.post(
    '/sandbox/:sandboxId/public/:isPublic',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Let everybody see the previews, or only who shows a token' },
        ...{ params: Type.Object({ sandboxId, isPublic: YesOrNo }), response: { 201: Sandbox } },
      },
    },
    async (request, reply) => {
      const { principal, params } = request
      const facts = await settings.setPublic(principal, params.sandboxId, isYes(params.isPublic))
      return sendChanged(reply.code(201), presenter.present(request, facts))
    },
  )

  app.post(
    '/sandbox/:sandboxId/autostop/:interval',
    {
      config: write,
      schema: { tags, summary: 'Stop it after so long without use; 0 is never', params: ByInterval, response },
    },
    async (request, reply) => {
      const { principal, params } = request
      const facts = await settings.setAutoStop(principal, params.sandboxId, params.interval)
      return sendChanged(reply, presenter.present(request, facts))
    },
  )

  app.post(
    '/sandbox/:sandboxId/autoarchive/:interval',
    {
      config: write,
      schema: {
        tags,
        summary: 'Archive it after so long stopped; 0 is the longest, 30 days',
        params: ByInterval,
        response,
      },
    },
    async (request, reply) => {
      const { principal, params } = request
      const facts = await settings.setAutoArchive(principal, params.sandboxId, params.interval)
      return sendChanged(reply, presenter.present(request, facts))
    },
  )

  app.post(
    '/sandbox/:sandboxId/autodelete/:interval',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Delete it after so long stopped; negative is never, 0 as soon as it stops' },
        ...{ params: Type.Object({ sandboxId, interval: AnyInterval }), response },
      },
    },
    async (request, reply) => {
      const { principal, params } = request
      const facts = await settings.setAutoDelete(principal, params.sandboxId, params.interval)
      return sendChanged(reply, presenter.present(request, facts))
    },
  )

  const Ttl = Type.Number({ ...minutes, minimum: 0, maximum: MAX_TTL_MINUTES })
  app.post(
    '/sandbox/:sandboxId/ttl/:ttlMinutes',
    {
      config: write,
      schema: {
        ...{ tags, summary: 'Delete it so long from now, whatever it is doing then; 0 is never' },
        ...{ params: Type.Object({ sandboxId, ttlMinutes: Ttl }), response: { 200: Sandbox } },
      },
    },
    async (request) => {
      const { sandboxId: idOrName, ttlMinutes } = request.params
      return presenter.present(request, await settings.setTimeToLive(request.principal, idOrName, ttlMinutes))
    },
  )
}
