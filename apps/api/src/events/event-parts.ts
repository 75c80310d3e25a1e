import type { Metrics } from '../http/metrics.ts'
import type { EventFeedOptions, ResourceReaders } from './event-feed.ts'
import { createEventFeed } from './event-feed.ts'
import type { EventSockets, EventSocketsOptions } from './event-sockets.ts'
import { createEventSockets } from './event-sockets.ts'

export interface EventPartsOptions extends EventSocketsOptions, Pick<EventFeedOptions, 'listener' | 'log'> {
  readers: ResourceReaders
  metrics: Metrics
}

export interface EventParts extends AsyncDisposable {
  readonly upgrade: EventSockets['upgrade']
}

/** Makes the parts that tell clients of changes, on every replica. The caller disposes them. */
export function createEventParts(options: EventPartsOptions): EventParts {
  const sockets = createEventSockets(options)
  const { listener, readers, log } = options
  const feed = createEventFeed({ listener, readers, log, isHeard: sockets.isHeard, deliver: sockets.deliver })
  options.metrics.gauge('atoll_event_listeners', 'Clients that listen to events here', () => sockets.size)
  return {
    upgrade: sockets.upgrade,
    async [Symbol.asyncDispose]() {
      await feed[Symbol.asyncDispose]()
      await sockets[Symbol.asyncDispose]()
    },
  }
}
