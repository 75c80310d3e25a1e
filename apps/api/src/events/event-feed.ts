import type { Logger } from '@atoll/service'
import type { DatabaseListener } from '../database/listener.ts'
import type { ResourceEvent } from './resource-event.ts'
import { parseResourceEvent, RESOURCE_EVENT_CHANNEL } from './resource-event.ts'

/** The most events that wait to be read; above it the oldest are dropped, and clients learn of them by asking. */
const MAX_PENDING = 10_000
/** The number of events read at a time, and how long they are gathered before. */
const BATCH_SIZE = 500
const GATHER_MS = 20

/** Reads resources by id, as clients see them; missing ones may be left out. */
export type ResourceReader = (ids: readonly string[]) => Promise<ReadonlyMap<string, object>>

export type ResourceReaders = Readonly<Record<ResourceEvent['kind'], ResourceReader>>

export interface EventFeedOptions {
  listener: Pick<DatabaseListener, 'subscribe'>
  readers: ResourceReaders
  /** Whether any client of this replica listens to an organization. */
  isHeard: (organizationId: string) => boolean
  /** Called in the order in which events were committed. Must not throw. */
  deliver: (event: ResourceEvent, resource: object) => void
  log: Logger
}

/**
 * Delivers the events of every replica to the listeners here. Events may be lost with the connection to the database,
 * but never invented. Subscribes to the channel; call it before the listener starts.
 */
export function createEventFeed(options: EventFeedOptions): AsyncDisposable {
  const { readers, isHeard, deliver, log } = options
  let pending: ResourceEvent[] = []
  let timer: NodeJS.Timeout | undefined
  let reading: Promise<void> | undefined
  let closed = false

  options.listener.subscribe(RESOURCE_EVENT_CHANNEL, {
    onNotify(payload) {
      const event = parseResourceEvent(payload)
      if (event === undefined || closed || !isHeard(event.organizationId)) return
      if (pending.length >= MAX_PENDING) pending = pending.slice(-MAX_PENDING / 2)
      pending.push(event)
      if (reading === undefined) timer ??= setTimeout(flush, GATHER_MS)
    },
    onListening: () => undefined,
  })

  function flush(): void {
    timer = undefined
    reading = drain().finally(() => {
      reading = undefined
    })
  }

  async function drain(): Promise<void> {
    while (pending.length > 0 && !closed) {
      const batch = pending.slice(0, BATCH_SIZE)
      pending = pending.slice(BATCH_SIZE)
      try {
        const resources = await read(batch)
        for (const event of batch) deliver(event, resources.get(keyOf(event)) ?? { id: event.id })
      } catch (error) {
        log.warn({ err: error, events: batch.length }, 'events could not be told')
      }
    }
  }

  async function read(batch: readonly ResourceEvent[]): Promise<Map<string, object>> {
    const resources = new Map<string, object>()
    for (const kind of new Set(batch.map((event) => event.kind))) {
      const ids = new Set(batch.filter((event) => event.kind === kind).map(({ id }) => id))
      const found = await readers[kind]([...ids])
      for (const [id, resource] of found) resources.set(keyOf({ kind, id }), resource)
    }
    return resources
  }

  return {
    async [Symbol.asyncDispose]() {
      closed = true
      clearTimeout(timer)
      await reading
    },
  }
}

function keyOf({ kind, id }: Pick<ResourceEvent, 'kind' | 'id'>): string {
  return `${kind} ${id}`
}
