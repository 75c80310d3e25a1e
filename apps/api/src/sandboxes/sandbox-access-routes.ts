import { PortPreviewUrl, ToolboxProxyUrl, UpdateLastActivity } from '@atoll/protocol'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { absentBodyIsEmpty } from '../http/optional-body.ts'
import type { SandboxRoutesOptions } from './sandbox-routes.ts'

const Name = Type.String({ description: 'Id or name' })
const ById = Type.Object({ sandboxId: Name })
const port = Type.Integer({ minimum: 1, maximum: 65_535 })
const SigningKey = Type.String()
/** The headers of a JSON string: Fastify sends a string as it is, so the routes serialize it themselves. */
const SECRET_JSON = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }
const tags = ['sandbox']
const membership = { access: 'membership' } as const

/** Routes that say how to reach the servers in a sandbox, and one that notes its use (§13 and §20 of the contract). */
export const sandboxAccessRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, options) => {
  const { sandboxes, presenter } = options
  app.get(
    '/sandbox/:sandboxId/toolbox-proxy-url',
    {
      config: membership,
      schema: { tags, summary: 'Where its toolbox is', params: ById, response: { 200: ToolboxProxyUrl } },
    },
    async (request) => {
      await sandboxes.get(request.principal, request.params.sandboxId)
      return { url: presenter.toolboxProxyUrl(request) }
    },
  )

  await app.register(previewUrlRoutes, options)
  app.get(
    '/sandbox/:sandboxId/signing-key',
    {
      config: { access: 'write:sandboxes' },
      schema: {
        ...{ tags, summary: 'The key that signs URLs of its files', params: ById, response: { 200: SigningKey } },
        description:
          'A URL of `files/download` or `files/upload-v2` needs no bearer with the query `path`, `expires` (seconds since the epoch; 0 for never) and `signature`: `v1_` and the base64url HMAC-SHA256 of `v1:files:METHOD:path:expires` under this key.',
      },
    },
    async (request, reply) => {
      const key = await sandboxes.signingKey(request.principal, request.params.sandboxId)
      return reply.headers(SECRET_JSON).send(JSON.stringify(key))
    },
  )

  app.post(
    '/sandbox/:sandboxId/signing-key/rotate',
    {
      config: { access: 'write:sandboxes' },
      schema: {
        ...{ tags, summary: 'A new signing key; what is signed already holds no more', params: ById },
        response: { 200: SigningKey },
      },
    },
    async (request, reply) => {
      const key = await sandboxes.rotateSigningKey(request.principal, request.params.sandboxId)
      return reply.headers(SECRET_JSON).send(JSON.stringify(key))
    },
  )

  app.post(
    '/sandbox/:sandboxId/last-activity',
    {
      config: { access: 'write:sandboxes' },
      schema: {
        tags,
        summary: 'Count as use, which keeps it from being stopped',
        params: ById,
        body: UpdateLastActivity,
      },
      preValidation: absentBodyIsEmpty,
    },
    async (request, reply) => {
      await sandboxes.touch(request.principal, request.params.sandboxId)
      return reply.code(201).send()
    },
  )
}

/** Routes of preview URLs, the same for both generations of clients. */
const previewUrlRoutes: FastifyPluginAsyncTypebox<SandboxRoutesOptions> = async (app, { sandboxes, presenter }) => {
  async function link(request: FastifyRequest, idOrName: string, port: number): Promise<PortPreviewUrl> {
    const { id, token } = await sandboxes.previewAccess(request.principal, idOrName)
    return { sandboxId: id, url: presenter.previewUrl(request, { name: id, port }), token }
  }
  const schema = {
    summary: 'Where a port of the sandbox is, and the token that opens it',
    description:
      'The URL takes the token as the header X-Daytona-Preview-Token or the query parameter DAYTONA_SANDBOX_AUTH_KEY, which a browser then keeps as a cookie, until the sandbox is started anew. So do the WebSockets of the toolbox, as the query parameter.',
    response: { 200: PortPreviewUrl },
  }

  app.get(
    '/sandbox/:sandboxId/ports/:port/preview-url',
    { config: membership, schema: { ...schema, tags, params: Type.Object({ sandboxId: Name, port }) } },
    (request) => link(request, request.params.sandboxId, request.params.port),
  )
  app.get(
    '/workspace/:workspaceId/ports/:port/preview-url',
    {
      config: membership,
      schema: { ...schema, tags: ['workspace'], params: Type.Object({ workspaceId: Name, port }) },
    },
    (request) => link(request, request.params.workspaceId, request.params.port),
  )
}
