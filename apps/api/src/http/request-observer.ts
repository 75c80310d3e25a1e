import type { Logger } from '@atoll/service'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { pathOf } from './error-handler.ts'
import type { Metrics } from './metrics.ts'

/** Of the proxied calls that succeed, one in so many is logged: a line a call would halve their rate. */
const PROXIED_SAMPLE = 1_000

/** Counts what is under way, so that a shutdown can wait for it. */
export interface RequestsInFlight {
  readonly count: number
  /** Resolves as soon as no request is under way. */
  untilNone(): Promise<void>
}

/** What names, counts and logs requests, whichever server they come to. */
export type RequestObserver = ReturnType<typeof createRequestObserver>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The path itself holds what opens something: the log has the route in its place. */
    secretInPath?: boolean
  }
}

const SWITCHING_PROTOCOLS = 101

interface Course {
  /** By the clock of `performance.now`. */
  startedAt: number
  /** Read at the start: a connection that has ended has none. */
  ip: string | undefined
  /** The answer was not given whole to the network. */
  aborted: boolean
}

/** Names each request in its answer, and counts, times and logs it when its answer is whole or its client has gone. */
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
    // A path that no route matches comes from outside, so it must not become a label.
    const route = request.routeOptions.url ?? 'unmatched'
    const method = request.routeOptions.url === undefined ? 'any' : request.method
    const status = reply.raw.statusCode
    // What was upgraded writes past its response, and ends when either side likes.
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
        // Comes last, whether the answer was sent by Fastify or by a handler that took the socket over.
        reply.raw.once('close', () => observe(request, reply, course))
        done()
      })
    },
    { name: 'request-observer' },
  )
  return { plugin, inFlight }
}
