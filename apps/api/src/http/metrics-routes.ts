import type { FastifyPluginAsync } from 'fastify'
import type { Metrics } from './metrics.ts'

/** `GET /metrics` in Prometheus's text format. It holds counts and durations only, and so needs no credential. */
export const metricsRoutes: FastifyPluginAsync<{ metrics: Metrics }> = async (app, { metrics }) => {
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => {
    void reply.type(metrics.registry.contentType)
    return metrics.registry.metrics()
  })
}
