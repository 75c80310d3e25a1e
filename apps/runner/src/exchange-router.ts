import { AppError, errorBody } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { IncomingExchange } from '@atoll/tunnel'
import type { Static, TSchema } from 'typebox'
import { Value } from 'typebox/value'

/** Largest request body, in bytes: an environment at its bound, as JSON. */
export const MAX_BODY_BYTES = 512 * 1024
/** How long a body may take to arrive, in milliseconds. */
const BODY_DEADLINE_MS = 10_000

/** A parsed request; `id` is what stands for it in the path, where the path has one. */
export interface RouteRequest<Body> {
  id: string
  body: Body
}

export interface Reply {
  status: number
  /** Sent as JSON; undefined: no body. */
  body?: unknown
}

export interface Route {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Its first group is the id. */
  path: RegExp
  /** Answers whenever it likes; called synchronously, with the body still to come. */
  answer(exchange: IncomingExchange, id: string): void
}

export interface RouterOptions {
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Answers the requests of a tunnel by `routes`, and every failure with an error body. */
export function createExchangeRouter(routes: readonly Route[], options: RouterOptions) {
  return (exchange: IncomingExchange): void => {
    const { method, path } = exchange.head
    ignore(exchange)
    try {
      const [target = ''] = path.split('?', 1)
      const matching = routes.filter((route) => route.path.test(target))
      const route = matching.find((candidate) => candidate.method === method)
      if (matching.length === 0) throw new AppError('NOT_FOUND', `there is nothing at ${target}`)
      if (route === undefined) throw new AppError('METHOD_NOT_ALLOWED', `${method} is not possible at ${target}`)
      route.answer(exchange, decodeId(route.path.exec(target)?.[1] ?? ''))
    } catch (error) {
      fail(exchange, error, options)
    }
  }
}

/** A route without a body. */
export function route(
  head: Pick<Route, 'method' | 'path'>,
  handle: (request: RouteRequest<undefined>) => Promise<Reply>,
  options: RouterOptions,
): Route {
  return {
    ...head,
    answer: (exchange, id) => {
      void handle({ id, body: undefined }).then(
        (reply) => respond(exchange, reply),
        (error) => fail(exchange, error, options),
      )
    },
  }
}

/** A route with a JSON body, checked by `schema`. */
export function routeWithBody<Schema extends TSchema>(
  head: Pick<Route, 'method' | 'path'> & { schema: Schema },
  handle: (request: RouteRequest<Static<Schema>>) => Promise<Reply>,
  options: RouterOptions,
): Route {
  const { schema, ...place } = head
  return {
    ...place,
    answer: (exchange, id) => {
      void readBody(exchange)
        .then((bytes) => handle({ id, body: parseBody(schema, bytes) }))
        .then(
          (reply) => respond(exchange, reply),
          (error) => fail(exchange, error, options),
        )
    },
  }
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

/** Nobody reads the body, and a caller that goes away is no matter: what it asked for is done all the same. */
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
