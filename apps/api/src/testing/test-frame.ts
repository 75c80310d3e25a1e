import type { Logger } from '@atoll/service'
import { createLogger } from '@atoll/service'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { crossOrigin } from '../http/cross-origin.ts'
import { createHttpServer } from '../http/http-server.ts'
import { jsonBody } from '../http/json-body.ts'
import type { Metrics } from '../http/metrics.ts'
import { createMetrics } from '../http/metrics.ts'
import type { RequestsInFlight } from '../http/request-observer.ts'
import { createRequestObserver } from '../http/request-observer.ts'
import { createUnservableRequests } from '../http/unservable-requests.ts'

export interface TestFrame {
  readonly app: FastifyInstance
  readonly metrics: Metrics
  readonly inFlight: RequestsInFlight
  [Symbol.asyncDispose](): Promise<void>
}

/** Creates the part of the server that every request passes, around the test's own routes. */
export async function createTestFrame(routes: FastifyPluginAsyncTypebox, log?: Logger): Promise<TestFrame> {
  const options = { log: log ?? createLogger('test', 'silent'), metrics: createMetrics(), now: Date.now }
  const app = createHttpServer(options)
  const requests = createRequestObserver(options)
  await app.register(requests.plugin)
  await app.register(crossOrigin)
  await app.register(createUnservableRequests().plugin)
  await app.register(jsonBody)
  await app.register(routes)
  await app.ready()
  return {
    app,
    metrics: options.metrics,
    inFlight: requests.inFlight,
    async [Symbol.asyncDispose]() {
      app.server.closeAllConnections()
      await app.close()
    },
  }
}
