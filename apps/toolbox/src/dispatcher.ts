import type { Operation } from '@atoll/protocol'
import { AppError, errorBody, toolboxOperations } from '@atoll/protocol'
import type { Headers, IncomingExchange } from '@atoll/tunnel'
import type { Call, Handler, Handlers } from './call.ts'
import { ErrorWithHeaders, StreamReply } from './call.ts'
import { checkQuery, checkShape } from './check-shape.ts'
import type { Incoming } from './incoming.ts'
import { receive } from './incoming.ts'
import type { Log } from './log.ts'
import { describeError } from './log.ts'
import { parseJson } from './parse-json.ts'
import { parseQuery, splitTarget } from './query.ts'
import { sendJson, sendStream } from './send-reply.ts'

/** An answer must begin within this, where the operation has no deadline of its own. */
const ANSWER_DEADLINE_MS = 300_000
/** Longest request id repeated in an error body. */
const MAX_REQUEST_ID_LENGTH = 128

/** Commands end by their own timeout; uploads are answered after their last byte, and have a stall deadline. */
const OWN_DEADLINE: ReadonlySet<keyof Handlers> = new Set(['executeCommand', 'uploadFile', 'uploadFiles'])

export interface Dispatcher {
  /** Answers one exchange: always with a response, or a reset when that is no longer possible. Never throws. */
  handle(exchange: IncomingExchange): void
}

interface Route {
  name: keyof Handlers
  operation: Operation
  handler: Handler<Operation>
}

/** Finds the operation of each exchange, checks what came in, runs its handler and sends what it returns. */
export function createDispatcher(options: { handlers: Handlers; log: Log; now?: () => number }): Dispatcher {
  const { handlers, log, now = Date.now } = options
  const routes = routeTable(handlers)

  async function answer(exchange: IncomingExchange): Promise<void> {
    const sent = { head: false }
    let incoming: Incoming | undefined
    try {
      const { path, rawQuery } = splitTarget(exchange.head.path)
      const route = findRoute(routes, exchange.head.method, path)
      incoming = receive(exchange, route.operation.bodyKind)
      const call = await openCall(exchange, { operation: route.operation, incoming, rawQuery })
      const reply = await withDeadline(route.handler(call), route.name)
      const outgoing = { exchange, incoming, sent, withBody: exchange.head.method !== 'HEAD' }
      if (reply instanceof StreamReply) await sendStream(outgoing, reply)
      else await sendJson(outgoing, route.operation.status, reply)
    } catch (error) {
      incoming ??= receive(exchange, 'none')
      // Nobody is left to hear of it.
      if (!incoming.signal.aborted) fail({ exchange, error, broken: sent.head })
    } finally {
      incoming?.close()
    }
  }

  function fail({ exchange, error, broken }: { exchange: IncomingExchange; error: unknown; broken: boolean }): void {
    if (!(error instanceof AppError)) {
      log.error('call failed', { target: shorten(exchange), error: describeError(error) })
    }
    if (broken) exchange.reset('HANDLER_FAILED', 'the answer broke off')
    else refuse({ exchange, error, now: now() })
  }

  return {
    handle(exchange) {
      answer(exchange).catch((error: unknown) => {
        log.error('exchange failed', { target: shorten(exchange), error: describeError(error) })
        exchange.reset('HANDLER_FAILED')
      })
    },
  }
}

/** Path → method → route. */
type Routes = Map<string, Map<string, Route>>

function routeTable(handlers: Handlers): Routes {
  const routes: Routes = new Map()
  for (const [key, operation] of Object.entries(toolboxOperations)) {
    const name = key as keyof Handlers
    // What a handler is given has passed its operation's schemas, which TypeScript cannot follow through the table.
    const handler = handlers[name] as Handler<Operation>
    const methods = routes.get(operation.path) ?? new Map<string, Route>()
    methods.set(operation.method, { name, operation, handler })
    routes.set(operation.path, methods)
  }
  return routes
}

function findRoute(routes: Routes, method: string, path: string): Route {
  const methods = routes.get(path)
  if (methods === undefined) throw new AppError('NOT_FOUND', `the toolbox has no ${path.slice(0, 200)}`)
  const route = methods.get(method === 'HEAD' ? 'GET' : method)
  if (route === undefined) {
    const allow = [...methods.keys()].join(', ')
    throw new ErrorWithHeaders('METHOD_NOT_ALLOWED', `${path} takes ${allow}`, { allow })
  }
  return route
}

async function openCall(
  exchange: IncomingExchange,
  about: { operation: Operation; incoming: Incoming; rawQuery: string },
): Promise<Call<Operation>> {
  const { operation, incoming, rawQuery } = about
  const { fields, repeated } = parseQuery(rawQuery)
  const query = checkQuery(operation.query, fields, repeated)
  const body = operation.bodyKind === 'json' ? checkShape(operation.body, parseJson(await incoming.bytes), 'body') : {}
  return {
    query,
    queryBytes: (name) => fields.get(name) ?? Buffer.alloc(0),
    body,
    headers: exchange.head.headers,
    stream: incoming.stream,
    signal: incoming.signal,
  }
}

/** A handler that hangs (on a dead network file system, say) must not hang its caller. */
async function withDeadline<Reply>(work: Promise<Reply>, name: keyof Handlers): Promise<Reply> {
  if (OWN_DEADLINE.has(name)) return work
  let timer: NodeJS.Timeout | undefined
  let late = false
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late = true
      reject(new AppError('REQUEST_TIMEOUT', `no answer within ${ANSWER_DEADLINE_MS / 1000} s`))
    }, ANSWER_DEADLINE_MS)
  })
  const closeIfLate = async () => {
    const reply = await work
    if (late && reply instanceof StreamReply) await reply.close()
  }
  // A failure is the caller's to hear of, through the race; after the deadline nobody is left to tell.
  closeIfLate().catch(() => {})
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}

function refuse(options: { exchange: IncomingExchange; error: unknown; now: number }): void {
  const { exchange, now } = options
  const { method, headers: requestHeaders } = exchange.head
  const error =
    options.error instanceof AppError
      ? options.error
      : new AppError('INTERNAL_SERVER_ERROR', 'the toolbox failed to answer')
  const requestId = requestHeaders['x-request-id']
  const body = errorBody(error, {
    source: 'DAYTONA_DAEMON',
    method,
    path: exchange.head.path.split('?', 1)[0] ?? '',
    now,
    ...(typeof requestId === 'string' ? { requestId: requestId.slice(0, MAX_REQUEST_ID_LENGTH) } : {}),
  })
  const bytes = Buffer.from(JSON.stringify(body))
  const headers: Headers = {
    ...(error instanceof ErrorWithHeaders ? error.headers : {}),
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(bytes.length),
  }
  exchange.respond({ status: error.status, headers })
  if (method === 'HEAD') exchange.end()
  else exchange.end(bytes)
}

function shorten(exchange: IncomingExchange): string {
  return `${exchange.head.method} ${exchange.head.path.split('?', 1)[0]?.slice(0, 200)}`
}
