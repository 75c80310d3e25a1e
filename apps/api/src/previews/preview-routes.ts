import { AppError } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Authorizer } from '../auth/authorizer.ts'
import { isPrincipal } from '../auth/principal.ts'
import { sandboxNotFound } from '../sandboxes/sandbox-commands.ts'
import type { ToolboxService } from '../toolbox/toolbox-service.ts'
import type { PreviewService } from './preview-service.ts'
import type { SignedPreviewService } from './signed-preview-service.ts'

export interface PreviewRoutesOptions {
  previews: Pick<PreviewService, 'isPublic' | 'isToken'>
  signedPreviews: Pick<SignedPreviewService, 'sandboxOf'>
}

const ById = Type.Object({ sandboxId: Type.String() })
const Yes = Type.Literal(true)
const tags = ['preview']

/** Serves a preview proxy's questions about a visitor without a key: §13 of the contract. */
export const previewRoutes: FastifyPluginAsyncTypebox<PreviewRoutesOptions> = async (app, options) => {
  const { previews, signedPreviews } = options
  app.get(
    '/preview/:sandboxId/public',
    { schema: { tags, summary: 'Whether everybody may see its previews', params: ById, response: { 200: Yes } } },
    async (request) => {
      const { sandboxId } = request.params
      if (!(await previews.isPublic(sandboxId))) throw sandboxNotFound(sandboxId)
      return true as const
    },
  )

  app.get(
    '/preview/:sandboxId/validate/:authToken',
    {
      config: { secretInPath: true },
      schema: {
        ...{ tags, summary: 'Whether a token opens its previews', response: { 200: Yes } },
        params: Type.Object({ sandboxId: Type.String(), authToken: Type.String() }),
      },
    },
    async (request) => {
      const { sandboxId, authToken } = request.params
      if (!(await previews.isToken(sandboxId, authToken))) throw sandboxNotFound(sandboxId)
      return true as const
    },
  )

  app.get(
    '/preview/:sandboxId/preview-warning',
    {
      schema: {
        ...{ tags, summary: 'Whether a page warns before a preview: Atoll has none', params: ById },
        response: { 200: Type.Object({ enabled: Type.Boolean() }) },
      },
    },
    () => ({ enabled: false }),
  )

  app.get(
    '/preview/:signedPreviewToken/:port/sandbox-id',
    {
      config: { secretInPath: true },
      schema: {
        ...{ tags, summary: 'Which sandbox a signed preview opens', response: { 200: Type.String() } },
        params: Type.Object({
          signedPreviewToken: Type.String(),
          port: Type.Integer({ minimum: 1, maximum: 65_535 }),
        }),
      },
    },
    async (request, reply) => {
      const { signedPreviewToken, port } = request.params
      const sandboxId = await signedPreviews.sandboxOf(signedPreviewToken, port)
      if (sandboxId === undefined) throw new AppError('NOT_FOUND', 'There is no such signed preview')
      // Fastify takes a string for a finished body, so it is serialized here.
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(sandboxId))
    },
  )
}

export interface PreviewAccessRoutesOptions {
  toolbox: Pick<ToolboxService, 'access'>
  authorizer: Authorizer
}

/** Serves a preview proxy's questions about a visitor who is signed in. */
export const previewAccessRoutes: FastifyPluginAsyncTypebox<PreviewAccessRoutesOptions> = async (app, options) => {
  const { toolbox, authorizer } = options
  app.get(
    '/preview/:sandboxId/access',
    {
      config: { access: 'caller' },
      schema: { tags, summary: 'Whether the caller may see its previews', params: ById, response: { 200: Yes } },
    },
    async (request) => {
      const { sandboxId } = request.params
      const access = await toolbox.access(sandboxId)
      if (access === undefined || access.destroyed) throw sandboxNotFound(sandboxId)
      const { organizationId } = access
      const { caller } = request
      if (isPrincipal(caller) && caller.organizationId === organizationId) return true as const
      try {
        await authorizer.authorize(caller, 'membership', { inPath: organizationId })
      } catch (error) {
        // The error must not tell the caller whose sandbox it is.
        if (error instanceof AppError && error.status === 404) throw sandboxNotFound(sandboxId)
        throw error
      }
      return true as const
    },
  )
}
