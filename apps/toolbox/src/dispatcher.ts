import type { Operation } from '@atoll/protocol'
import { AppError, toolboxChannels, toolboxOperations } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'
import type { Call, Handler } from './call.ts'
import { StreamReply } from './call.ts'
import { asksForWebSocket } from './channels/accept-channel.ts'
import { createChannelDispatcher } from './channels/channel-dispatcher.ts'
import { checkQuery, checkShape } from './check-shape.ts'
import type { Handlers } from './feature.ts'
import type { Features } from './features.ts'
import type { Incoming } from './incoming.ts'
import { receive } from './incoming.ts'
import type { Log } from './log.ts'
import { describeError } from './log.ts'
import { parseJson } from './parse-json.ts'
import { parseQuery, splitTarget } from './query.ts'
import { describeTarget, refuse } from './refuse.ts'
import type { FoundRoute, RouteTable } from './route-table.ts'
import { createRouteTable } from './route-table.ts'
import { sendJson, sendStream } from './send-reply.ts'

/** The time within which an answer must begin, where the operation has no deadline of its own. */
const ANSWER_DEADLINE_MS = 300_000
export interface Dispatcher {
  /** Answers one exchange: with a response, or a reset when that is no longer possible. Never throws. */
  handle(exchange: IncomingExchange): void
}

interface Route {
  readonly operation: Operation
  readonly handler: Handler<Operation>
  readonly ownDeadline: boolean
}

/** Path → method → route. */
type Routes = RouteTable<ReadonlyMap<string, Route>>

/** Finds the operation of each exchange, checks its input, runs its handler and sends the result. */
export function createDispatcher(options: {
  features: Pick<Features, 'handlers' | 'channels' | 'ownDeadline' | 'raw'>
  log: Log
  now?: () => number
}): Dispatcher {
  const { features, log, now = Date.now } = options
  const routes = createRoutes(features)
  const openChannel = createChannelDispatcher({ channels: toolboxChannels, handlers: features.channels, log, now })

  async function answer(exchange: IncomingExchange): Promise<void> {
    const sent = { head: false }
    let incoming: Incoming | undefined
    try {
      const { path, rawQuery } = splitTarget(exchange.head.path)
      const { route, params } = findRoute(routes, exchange.head.method, path)
      incoming = receive(exchange, route.operation.bodyKind)
      const call = await openCall(exchange, { route, incoming, rawQuery, params })
      const work = route.handler(call)
      const reply = await (route.ownDeadline ? work : withDeadline(work))
      const outgoing = { exchange, incoming, sent, withBody: exchange.head.method !== 'HEAD' }
      if (reply instanceof StreamReply) await sendStream(outgoing, reply)
      else await sendJson(outgoing, route.operation.status, reply)
    } catch (error) {
      incoming ??= receive(exchange, 'none')
      // A caller that is gone gets no answer.
      if (!incoming.signal.aborted) fail({ exchange, error, broken: sent.head })
    } finally {
      incoming?.close()
    }
  }

  function fail({ exchange, error, broken }: { exchange: IncomingExchange; error: unknown; broken: boolean }): void {
    if (!(error instanceof AppError)) {
      log.error('call failed', { target: describeTarget(exchange), error: describeError(error) })
    }
    if (broken) exchange.reset('HANDLER_FAILED', 'the answer broke off')
    else refuse({ exchange, error, now: now() })
  }

  return {
    handle(exchange) {
      const raw = features.raw.find(({ prefix }) => exchange.head.path.startsWith(prefix))
      if (raw !== undefined) return raw.handle(exchange)
      if (asksForWebSocket(exchange)) return openChannel(exchange)
      answer(exchange).catch((error: unknown) => {
        log.error('exchange failed', { target: describeTarget(exchange), error: describeError(error) })
        exchange.reset('HANDLER_FAILED')
      })
    },
  }
}

function createRoutes({ handlers, ownDeadline }: Pick<Features, 'handlers' | 'ownDeadline'>): Routes {
  const entries = Object.entries<Operation>(toolboxOperations).flatMap(([key, operation]) => {
    const name = key as keyof Handlers
    // The input of a handler has passed its operation's schemas, which TypeScript cannot follow through the table.
    const handler = handlers[name] as Handler<Operation>
    const methods = new Map([[operation.method, { operation, handler, ownDeadline: ownDeadline.has(name) }]])
    return [operation.path, ...(operation.aliases ?? [])].map((path) => [path, methods] as const)
  })
  return createRouteTable<ReadonlyMap<string, Route>>(entries, (before, added) => new Map([...before, ...added]))
}

function findRoute(
  routes: Routes,
  method: string,
  path: string,
): { route: Route; params: FoundRoute<unknown>['params'] } {
  const found = routes.find(path)
  if (found === undefined) throw new AppError('NOT_FOUND', `the toolbox has no ${path.slice(0, 200)}`)
  const route = found.entry.get(method === 'HEAD' ? 'GET' : method)
  if (route === undefined) {
    const allow = [...found.entry.keys()].join(', ')
    throw new AppError('METHOD_NOT_ALLOWED', `${path} takes ${allow}`, { headers: { allow } })
  }
  return { route, params: found.params }
}

async function openCall(
  exchange: IncomingExchange,
  about: { route: Route; incoming: Incoming; rawQuery: string; params: FoundRoute<unknown>['params'] },
): Promise<Call<Operation>> {
  const { incoming, rawQuery, params } = about
  const { operation } = about.route
  const { fields, repeated } = parseQuery(rawQuery)
  const query = checkQuery(operation.query, fields, repeated)
  const body = operation.bodyKind === 'json' ? checkShape(operation.body, parseJson(await incoming.bytes), 'body') : {}
  return {
    params,
    query,
    queryBytes: (name) => fields.get(name) ?? Buffer.alloc(0),
    body,
    headers: exchange.head.headers,
    stream: incoming.stream,
    signal: incoming.signal,
  }
}

/** Throws REQUEST_TIMEOUT for a handler that hangs (on a dead network file system, say), so that its caller does not. */
async function withDeadline<Reply>(work: Promise<Reply>): Promise<Reply> {
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
  // The race passes a failure on to the caller; after the deadline there is no caller to tell.
  closeIfLate().catch(() => {})
  try {
    return await Promise.race([work, deadline])
  } finally {
    clearTimeout(timer)
  }
}
