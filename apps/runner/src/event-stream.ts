import type { RunnerEvent } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'
import type { SandboxDriver } from './drivers/driver.ts'

/** Time between two `alive` events, by which a listener knows that the runner lives, in milliseconds. */
const ALIVE_INTERVAL_MS = 10_000
/** Most events that wait for a listener that does not read; a listener that lags further is cut off and lists anew. */
export const MAX_WAITING_EVENTS = 1_000

/** Streams the events of the driver's sandboxes and snapshots, a line of JSON each, until the caller goes away. */
export function streamEvents(exchange: IncomingExchange, driver: SandboxDriver): void {
  let waiting: RunnerEvent[] = []
  let isBlocked = false
  const write = (event: RunnerEvent) => {
    isBlocked = !exchange.write(Buffer.from(`${JSON.stringify(event)}\n`))
  }
  const send = (event: RunnerEvent) => {
    if (!isBlocked) return write(event)
    if (event.type === 'alive') return
    waiting.push(event)
    if (waiting.length > MAX_WAITING_EVENTS) {
      stop()
      exchange.reset('CANCELLED', 'the listener does not keep up')
    }
  }
  const unsubscribes = [
    driver.onStatusChange((status) => send({ type: 'status', status })),
    driver.snapshots.onChange((snapshot) => send({ type: 'snapshot', snapshot })),
  ]
  const timer = setInterval(() => send({ type: 'alive' }), ALIVE_INTERVAL_MS)
  const stop = () => {
    for (const unsubscribe of unsubscribes) unsubscribe()
    clearInterval(timer)
  }
  exchange.handlers = {
    onData: () => undefined,
    onEnd: () => undefined,
    onDrain: () => {
      isBlocked = false
      const events = waiting
      waiting = []
      for (const event of events) send(event)
    },
    onReset: stop,
  }
  exchange.respond({ status: 200, headers: { 'content-type': 'application/x-ndjson' } })
  send({ type: 'alive' })
}
