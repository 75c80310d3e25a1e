import type { Channel, Operation } from '@atoll/protocol'
import { ErrorBody, errorStatus, toolboxChannels, toolboxOperations } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { TProperties, TSchema } from 'typebox'
import { Type } from 'typebox'
import { sandboxToken } from './sandbox-token.ts'
import { signedFileCall } from './signed-file-call.ts'
import type { ToolboxForward } from './toolbox-forward.ts'
import type { ToolboxService } from './toolbox-service.ts'

export interface ToolboxRoutesOptions {
  toolbox: ToolboxService
  forward: ToolboxForward
}

const PREFIX = '/toolbox/:sandboxId/toolbox'
/** The path under which newer SDKs call the toolbox: §20.3 of the contract. */
const PROXY_PREFIX = '/toolbox-proxy/:sandboxId'
/** The toolbox validates calls: here they are passed on unchanged. */
const anything = () => () => true
/** The handler itself checks a token or a signature that replaces the bearer. */
const bringsOther = (request: FastifyRequest) =>
  sandboxToken(request) !== undefined || signedFileCall(request) !== undefined

/**
 * Serves everything below `/toolbox/{sandboxId}/toolbox` and `/toolbox-proxy/{sandboxId}`, in any method: passes it on
 * unread to the sandbox's toolbox.
 */
export const toolboxRoutes: FastifyPluginAsync<ToolboxRoutesOptions> = async (app, { toolbox, forward }) => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))

  const open = (request: FastifyRequest<{ Params: { sandboxId: string } }>): Promise<TunnelPeer> => {
    const { sandboxId } = request.params
    const token = sandboxToken(request)
    if (token !== undefined) return toolbox.openWithToken(sandboxId, token)
    const signed = signedFileCall(request)
    return signed === undefined ? toolbox.open(request.principal, sandboxId) : toolbox.openSigned(sandboxId, signed)
  }
  const handler = async (request: FastifyRequest<{ Params: { sandboxId: string } }>, reply: FastifyReply) => {
    forward(await open(request), request, reply)
  }
  const common = {
    handler,
    config: { access: 'write:sandboxes', proxied: true, bringsOther },
    validatorCompiler: anything,
  } as const

  // The catch-all routes below would be enough; these exist for the OpenAPI page, which shows each operation once.
  for (const [operationId, operation] of Object.entries<Operation>(toolboxOperations)) {
    app.route({
      ...common,
      method: operation.method,
      url: PREFIX + routePath(operation.path),
      schema: describe(operationId, operation),
    })
  }
  const paths = new Set(Object.values<Operation>(toolboxOperations).map(({ path }) => path))
  for (const [operationId, channel] of Object.entries<Channel>(toolboxChannels)) {
    // Where an operation has the same path, the page shows the operation.
    if (paths.has(channel.path)) continue
    app.get(PREFIX + routePath(channel.path), { ...common, schema: describeChannel(operationId, channel) })
  }
  for (const prefix of [PREFIX, PROXY_PREFIX]) app.all(`${prefix}/*`, { ...common, schema: { hide: true } })
}

/** Turns OpenAPI's `{name}` into Fastify's `:name`. */
function routePath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1')
}

function describe(operationId: string, operation: Operation) {
  return {
    operationId,
    tags: ['toolbox'],
    summary: operation.summary,
    params: parameters(operation.params),
    querystring: operation.query,
    ...body(operation),
    response: answers(operation),
  }
}

function describeChannel(operationId: string, channel: Channel) {
  return {
    operationId,
    tags: ['toolbox'],
    summary: `${channel.summary} (WebSocket)`,
    description: channel.description,
    params: parameters(channel.params),
    querystring: channel.query,
  }
}

function parameters(params: TSchema | undefined) {
  const own: TProperties = params !== undefined && Type.IsObject(params) ? params.properties : {}
  return Type.Object({ sandboxId: Type.String(), ...own })
}

function body({ bodyKind, body: schema }: Operation) {
  switch (bodyKind) {
    case 'none':
      return {}
    case 'json':
      return { body: schema }
    case 'multipart':
      return { consumes: ['multipart/form-data'] }
    case 'binary':
      return { consumes: ['application/octet-stream'] }
  }
}

/** Describes the answers; an operation that never succeeds is described by its errors. */
function answers({ status, output, errors }: Operation): Record<number, TSchema> {
  if (!Type.IsNever(output)) return { [status]: documented(output) }
  return Object.fromEntries(errors.map((code) => [errorStatus[code], ErrorBody]))
}

/** JSON Schema cannot express an absent body. */
function documented(output: TSchema): TSchema {
  return Type.IsUndefined(output) ? Type.Null({ description: 'Empty body' }) : output
}
