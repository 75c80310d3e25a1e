import { SignedPortPreviewUrl } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { SandboxPresenter } from '../sandboxes/sandbox-presenter.ts'
import type { SignedPreviewService } from './signed-preview-service.ts'
import { DEFAULT_SIGNED_PREVIEW_S, MAX_SIGNED_PREVIEW_S } from './signed-preview-service.ts'

export interface SignedPreviewRoutesOptions {
  signedPreviews: Pick<SignedPreviewService, 'create' | 'expire'>
  presenter: Pick<SandboxPresenter, 'previewUrl'>
}

const port = Type.Integer({ minimum: 1, maximum: 65_535 })
const sandboxId = Type.String({ description: 'Id or name' })
const tags = ['sandbox']

/** Serves links that open one port of a private sandbox for a limited time (§20.1 of the contract). */
export const signedPreviewRoutes: FastifyPluginAsyncTypebox<SignedPreviewRoutesOptions> = async (app, options) => {
  const { signedPreviews, presenter } = options
  app.get(
    '/sandbox/:sandboxId/ports/:port/signed-preview-url',
    {
      config: { access: 'membership' },
      schema: {
        ...{ tags, summary: 'A link that opens a port to whoever has it', params: Type.Object({ sandboxId, port }) },
        querystring: Type.Object({
          expiresInSeconds: Type.Integer({
            minimum: 1,
            maximum: MAX_SIGNED_PREVIEW_S,
            default: DEFAULT_SIGNED_PREVIEW_S,
          }),
        }),
        response: { 200: SignedPortPreviewUrl },
      },
    },
    async (request) => {
      const { params, principal, query } = request
      const link = { port: params.port, seconds: query.expiresInSeconds }
      const made = await signedPreviews.create(principal, params.sandboxId, link)
      return { ...made, port: params.port, url: presenter.previewUrl(request, { name: made.token, port: params.port }) }
    },
  )

  app.post(
    '/sandbox/:sandboxId/ports/:port/signed-preview-url/:token/expire',
    {
      config: { access: 'membership', secretInPath: true },
      schema: {
        ...{ tags, summary: 'End a signed preview before its time' },
        params: Type.Object({ sandboxId, port, token: Type.String() }),
      },
    },
    async (request, reply) => {
      const { params, principal } = request
      await signedPreviews.expire(principal, params.sandboxId, { port: params.port, token: params.token })
      return reply.code(200).send()
    },
  )
}
