import type { Operation } from '@atoll/protocol'
import { toolboxOperations } from '@atoll/protocol'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import { Type } from 'typebox'
import type { ToolboxForward } from './toolbox-forward.ts'
import type { ToolboxService } from './toolbox-service.ts'

export interface ToolboxRoutesOptions {
  toolbox: ToolboxService
  forward: ToolboxForward
}

const PREFIX = '/toolbox/:sandboxId/toolbox'
const BySandbox = Type.Object({ sandboxId: Type.String() })
/** The toolbox validates: a call is passed on as it came. */
const anything = () => () => true

/** Everything below `/toolbox/{sandboxId}/toolbox`, in any method: passed on to the sandbox's toolbox, unread. */
export const toolboxRoutes: FastifyPluginAsync<ToolboxRoutesOptions> = async (app, { toolbox, forward }) => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))

  const handler = async (request: FastifyRequest<{ Params: { sandboxId: string } }>, reply: FastifyReply) => {
    forward(await toolbox.open(request.principal, request.params.sandboxId), request, reply)
  }
  const common = {
    handler,
    config: { permission: 'write:sandboxes', proxied: true },
    validatorCompiler: anything,
  } as const

  // One route would do: these are here to be read in the OpenAPI page.
  for (const [operationId, operation] of Object.entries<Operation>(toolboxOperations)) {
    app.route({
      ...common,
      method: operation.method,
      url: PREFIX + operation.path,
      schema: describe(operationId, operation),
    })
  }
  app.all(`${PREFIX}/*`, { ...common, schema: { hide: true } })
}

function describe(operationId: string, operation: Operation) {
  return {
    operationId,
    tags: ['toolbox'],
    summary: operation.summary,
    params: BySandbox,
    querystring: operation.query,
    ...body(operation),
    response: { [operation.status]: documented(operation.output) },
  }
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

/** JSON Schema has no word for an absent body. */
function documented(output: TSchema): TSchema {
  return Type.IsUndefined(output) ? Type.Null({ description: 'Empty body' }) : output
}
