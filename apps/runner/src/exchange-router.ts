import type { Duplex, Readable } from 'node:stream'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError, errorBody } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { IncomingExchange } from '@atoll/tunnel'
import { toDuplex } from '@atoll/tunnel'
import type { Static, TSchema } from 'typebox'
import { Value } from 'typebox/value'
import { createKeyedQueue } from './concurrency.ts'

/** Largest request body, in bytes: an environment at its bound, as JSON. */
export const MAX_BODY_BYTES = 512 * 1024
/** How long a body may take to arrive, in milliseconds. */
const BODY_DEADLINE_MS = 10_000

/** A parsed request; `id` is the id in its path, where the path has one. */
export interface RouteRequest<Body> {
  id: string
  body: Body
  query: URLSearchParams
}

export interface Reply {
  status: number
  /** Sent as JSON; undefined: no body. */
  body?: unknown
}

export interface Route {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** The first group of the expression is the id. */
  path: RegExp
  /** May answer at any later time; called synchronously, while the body is still to come. */
  answer(exchange: IncomingExchange, id: string, inTurn: InTurn): void
}

export interface RouterOptions {
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Resolves as `ready` does, once all earlier requests for the same sandbox, snapshot or volume are ready: a request without
 * a body must not overtake one that waits for its body. Handlers that are called at once are called in the order of requests.
 */
type InTurn = <Result>(ready: Promise<Result>) => Promise<Result>

/** Answers the requests of a tunnel by `routes`, and every failure with an error body. */
export function createExchangeRouter(routes: readonly Route[], options: RouterOptions) {
  const turns = createKeyedQueue()
  return (exchange: IncomingExchange): void => {
    const { method, path } = exchange.head
    ignore(exchange)
    try {
      const [target = ''] = path.split('?', 1)
      const matching = routes.filter((route) => route.path.test(target))
      const route = matching.find((candidate) => candidate.method === method)
      if (matching.length === 0) throw new AppError('NOT_FOUND', `there is nothing at ${target}`)
      if (route === undefined) throw new AppError('METHOD_NOT_ALLOWED', `${method} is not possible at ${target}`)
      const thing = target.split('/', 3).join('/')
      const inTurn: InTurn = (ready) => {
        // The route that waits for its turn gets the failure then.
        ready.catch(() => undefined)
        return turns.run(thing, () => ready)
      }
      route.answer(exchange, decodeId(route.path.exec(target)?.[1] ?? ''), inTurn)
    } catch (error) {
      fail(exchange, error, options)
    }
  }
}

/** Makes a route without a body. */
export function route(
  head: Pick<Route, 'method' | 'path'>,
  handle: (request: RouteRequest<undefined>) => Promise<Reply>,
  options: RouterOptions,
): Route {
  return {
    ...head,
    answer: (exchange, id, inTurn) => {
      void inTurn(Promise.resolve())
        .then(() => handle({ id, body: undefined, query: queryOf(exchange) }))
        .then(
          (reply) => respond(exchange, reply),
          (error) => fail(exchange, error, options),
        )
    },
  }
}

/** Makes a route with a JSON body, checked by `schema`. */
export function routeWithBody<Schema extends TSchema>(
  head: Pick<Route, 'method' | 'path'> & { schema: Schema },
  handle: (request: RouteRequest<Static<Schema>>) => Promise<Reply>,
  options: RouterOptions,
): Route {
  const { schema, ...place } = head
  return {
    ...place,
    answer: (exchange, id, inTurn) => {
      void inTurn(readBody(exchange))
        .then((bytes) => handle({ id, body: parseBody(schema, bytes), query: queryOf(exchange) }))
        .then(
          (reply) => respond(exchange, reply),
          (error) => fail(exchange, error, options),
        )
    },
  }
}

/** The request that the handler of a route with a streamed body or answer gets. */
export interface StreamRequest {
  id: string
  query: URLSearchParams
  /** Aborts when the caller goes away before the answer has ended. */
  signal: AbortSignal
}

/** Makes a route that takes a body of any length; its handler may leave the body unread. */
export function routeWithStream(
  head: Pick<Route, 'method' | 'path'>,
  handle: (request: StreamRequest & { content: Readable }) => Promise<Reply>,
  options: RouterOptions,
): Route {
  return {
    ...head,
    answer: (exchange, id) => {
      const duplex = toDuplex(exchange)
      const content = bodyOf(duplex)
      void handle({ id, query: queryOf(exchange), content, signal: signalOf(duplex) }).then(
        (reply) => respond(exchange, reply),
        (error) => fail(exchange, error, options),
      )
    },
  }
}

/** Returns the body of a request as a stream of its own: reading it to its end, or leaving it, does not end the exchange. */
function bodyOf(duplex: Duplex): Readable {
  const body = new PassThrough()
  // A handler that reads the body gets the error; one that does not has no use for it.
  body.on('error', () => undefined)
  duplex.on('error', (error) => body.destroy(error))
  duplex.once('close', () => {
    if (!duplex.readableEnded) body.destroy(new Error('the body was cut off'))
  })
  return duplex.pipe(body)
}

/** Makes a route that answers with a stream, at the caller's pace. A failure before its first byte becomes an error body. */
export function routeToStream(
  head: Pick<Route, 'method' | 'path'> & { contentType: string },
  handle: (request: StreamRequest) => Promise<AsyncIterable<Buffer>>,
  options: RouterOptions,
): Route {
  const { contentType, ...place } = head
  return {
    ...place,
    answer: (exchange, id) => {
      const duplex = toDuplex(exchange)
      duplex.on('error', () => undefined)
      duplex.resume()
      void handle({ id, query: queryOf(exchange), signal: signalOf(duplex) }).then(
        (content) => {
          exchange.respond({ status: 200, headers: { 'content-type': contentType } })
          pipeline(content, duplex).catch((error) => {
            options.log.warn({ err: error, path: exchange.head.path }, 'an answer was cut off')
          })
        },
        (error) => fail(exchange, error, options),
      )
    },
  }
}

function signalOf(duplex: Duplex): AbortSignal {
  const gone = new AbortController()
  duplex.once('close', () => gone.abort())
  return gone.signal
}

function queryOf(exchange: IncomingExchange): URLSearchParams {
  const { path } = exchange.head
  const mark = path.indexOf('?')
  return new URLSearchParams(mark < 0 ? '' : path.slice(mark + 1))
}

function respond(exchange: IncomingExchange, { status, body }: Reply): void {
  exchange.respond({ status, headers: body === undefined ? {} : { 'content-type': 'application/json' } })
  exchange.end(body === undefined ? undefined : Buffer.from(JSON.stringify(body)))
}

function fail(exchange: IncomingExchange, error: unknown, { log, now }: RouterOptions): void {
  const { method, path } = exchange.head
  const known = error instanceof AppError ? error : new AppError('INTERNAL_SERVER_ERROR', 'the runner failed')
  if (known.status >= 500) log.error({ err: error, method, path }, 'a call failed')
  respond(exchange, {
    status: known.status,
    body: errorBody(known, { source: 'DAYTONA_API', method, path, now: now() }),
  })
}

/** Ignores the body, and the caller's going away: the work that it asked for is done all the same. */
function ignore(exchange: IncomingExchange): void {
  exchange.handlers = { onData: () => undefined, onEnd: () => undefined, onReset: () => undefined }
}

function readBody(exchange: IncomingExchange): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (finish: () => void) => {
      clearTimeout(timer)
      ignore(exchange)
      finish()
    }
    const timer = setTimeout(
      () => settle(() => reject(new AppError('REQUEST_TIMEOUT', 'the body did not arrive in time'))),
      BODY_DEADLINE_MS,
    )
    exchange.handlers = {
      onData: (chunk) => {
        bytes += chunk.length
        if (bytes <= MAX_BODY_BYTES) chunks.push(Buffer.from(chunk))
        else settle(() => reject(new AppError('PAYLOAD_TOO_LARGE', `a body has at most ${MAX_BODY_BYTES} bytes`)))
      },
      onEnd: () => settle(() => resolve(Buffer.concat(chunks))),
      onReset: () => settle(() => reject(new AppError('BAD_REQUEST', 'the caller went away'))),
    }
  })
}

function parseBody<Schema extends TSchema>(schema: Schema, bytes: Buffer): Static<Schema> {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new AppError('INVALID_JSON', 'the body is not JSON', { cause })
  }
  if (Value.Check(schema, value)) return value
  const [problem] = Value.Errors(schema, value)
  throw new AppError('VALIDATION_FAILED', `${problem?.instancePath || 'the body'} ${problem?.message}`)
}

function decodeId(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new AppError('BAD_REQUEST', 'the path is not valid', { cause })
  }
}
