import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/**
 * Upper bounds of the duration buckets, in seconds: cached answers take well under a millisecond, starts take seconds.
 */
const DURATION_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]

/** Everything /metrics shows. The values of labels come from our own code only, never from a request. */
export interface Metrics {
  readonly registry: Registry
  readonly requestDuration: Histogram<'method' | 'route' | 'status'>
  readonly requestsAborted: Counter<'route'>
  /** Adds a gauge whose number is read each time /metrics is asked for. */
  gauge(name: string, help: string, read: () => number): void
}

/** Creates metrics with their own registry, so that several APIs may run in one process. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return {
    registry,
    requestDuration: new Histogram({
      name: 'atoll_http_request_duration_seconds',
      help: 'From the first byte of a request to the last of its answer',
      labelNames: ['method', 'route', 'status'],
      buckets: DURATION_BUCKETS_S,
      registers: [registry],
    }),
    requestsAborted: new Counter({
      name: 'atoll_http_requests_aborted_total',
      help: 'Requests whose client went away before the answer was whole',
      labelNames: ['route'],
      registers: [registry],
    }),
    gauge(name, help, read) {
      const gauge: Gauge = new Gauge({ name, help, registers: [registry], collect: () => gauge.set(read()) })
    },
  }
}
