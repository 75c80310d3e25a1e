import type { Logger } from '@atoll/service'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { pathOf } from './error-handler.ts'
import type { Metrics } from './metrics.ts'

/** One of this many successful proxied calls is logged: a line for each call would halve their rate. */
const PROXIED_SAMPLE = 1_000

/** Counts requests under way, so that a shutdown can wait for them. */
export interface RequestsInFlight {
  readonly count: number
  /** Resolves as soon as no request is under way. */
  untilNone(): Promise<void>
}

/** Names, counts and logs the requests of every server. */
export type RequestObserver = ReturnType<typeof createRequestObserver>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The path holds a secret: the log shows the route instead. */
    secretInPath?: boolean
  }
}

const SWITCHING_PROTOCOLS = 101

interface Course {
  /** From `performance.now`. */
  startedAt: number
  /** Read at the start: a closed connection has no address. */
  ip: string | undefined
  /** Whether the connection closed before the whole answer was handed to the network. */
  aborted: boolean
}

/** Adds an id to each answer; counts, times and logs the request when the answer is complete or the client has gone. */
export function createRequestObserver(options: { log: Logger; metrics: Metrics }) {
  const { log, metrics } = options
  let count = 0
  let proxied = 0
  let waiting: (() => void)[] = []
  metrics.gauge('atoll_http_requests_in_flight', 'Requests that are not yet answered whole', () => count)

  function observe(request: FastifyRequest, reply: FastifyReply, course: Course): void {
    const { startedAt } = course
    count -= 1
    if (count === 0) {
      for (const resolve of waiting) resolve()
      waiting = []
    }
    const durationMs = performance.now() - startedAt
    // A path without a route comes from outside, so it must not become a label.
    const route = request.routeOptions.url ?? 'unmatched'
    const method = request.routeOptions.url === undefined ? 'any' : request.method
    const status = reply.raw.statusCode
    // An upgraded connection writes outside its response and may be ended by either side.
    const aborted = course.aborted && status !== SWITCHING_PROTOCOLS
    if (aborted) metrics.requestsAborted.inc({ route })
    else metrics.requestDuration.observe({ method, route, status }, durationMs / 1_000)
    if (isWorthALine(request, status, aborted)) {
      const { ip } = course
      const facts = { requestId: request.id, ip, method: request.method, path: loggedPath(request), route, status }
      log.info({ ...facts, durationMs: Math.round(durationMs * 100) / 100, ...(aborted ? { aborted } : {}) }, 'request')
    }
  }

  function loggedPath({ raw, routeOptions }: FastifyRequest): string {
    return routeOptions.config.secretInPath ? pathOf(routeOptions.url) : pathOf(raw.url)
  }

  function isWorthALine(request: FastifyRequest, status: number, aborted: boolean): boolean {
    if (!request.routeOptions.config.proxied || status >= 500 || aborted) return true
    proxied += 1
    return proxied % PROXIED_SAMPLE === 1
  }

  const inFlight: RequestsInFlight = {
    get count() {
      return count
    },
    untilNone: () => (count === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  }
  const plugin = fastifyPlugin(
    async (app: FastifyInstance) => {
      app.addHook('onRequest', (request, reply, done) => {
        const course = { startedAt: performance.now(), ip: request.ip, aborted: true }
        count += 1
        reply.header('x-request-id', request.id)
        reply.raw.once('finish', () => {
          course.aborted = false
        })
        // `close` comes last, whether Fastify sent the answer or a handler took over the socket.
        reply.raw.once('close', () => observe(request, reply, course))
        done()
      })
    },
    { name: 'request-observer' },
  )
  return { plugin, inFlight }
}
