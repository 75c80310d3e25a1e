import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@atoll/service'
import type { DatabaseAddress } from './database.ts'
import { connect } from './database.ts'

export interface Subscription {
  /** Called for each notification of the channel. Must not throw. */
  onNotify(payload: string): void
  /**
   * Called when listening begins, at first or again after a lost connection. Earlier notifications are lost, so every
   * cache is dropped here. Must not throw.
   */
  onListening(): void
}

/** One connection that listens on every subscribed channel and reconnects while it is open. */
export interface DatabaseListener {
  /** Subscribes until the listener closes. Call it before `start`. */
  subscribe(channel: string, subscription: Subscription): void
  /** Connects in the background. */
  start(): void
  close(): Promise<void>
}

const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 5_000

/** Creates the listener. Notifications only wake loops and drop caches: nothing may depend on one arriving. */
export function createListener(options: { address: DatabaseAddress; log: Logger }): DatabaseListener {
  const subscriptions = new Map<string, Subscription[]>()
  const stop = new AbortController()
  let running: Promise<void> | undefined
  let retryMs = RETRY_MIN_MS

  function notify(channel: string, payload: string): void {
    for (const subscription of subscriptions.get(channel) ?? []) subscription.onNotify(payload)
  }

  function onListening(): void {
    retryMs = RETRY_MIN_MS
    for (const subscription of [...subscriptions.values()].flat()) subscription.onListening()
  }

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await listenOnce({
          address: options.address,
          channels: [...subscriptions.keys()],
          signal: stop.signal,
          notify,
          onListening,
        })
      } catch (error) {
        options.log.warn({ err: error }, 'cannot listen for database notifications')
      }
      // An aborted wait only means that the loop ends.
      await delay(retryMs, undefined, { signal: stop.signal }).catch(() => undefined)
      retryMs = Math.min(retryMs * 2, RETRY_MAX_MS)
    }
  }

  return {
    subscribe(channel, subscription) {
      subscriptions.set(channel, [...(subscriptions.get(channel) ?? []), subscription])
    },
    start() {
      running ??= run()
    },
    async close() {
      stop.abort()
      await running
    },
  }
}

interface ListenOnce {
  address: DatabaseAddress
  channels: string[]
  signal: AbortSignal
  notify(channel: string, payload: string): void
  onListening(): void
}

/**
 * Listens on a new connection until it is lost or `signal` aborts. The `listen` of postgres.js is not used: it gives up
 * silently when its first attempt to reconnect fails.
 */
async function listenOnce(options: ListenOnce): Promise<void> {
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const clientOptions = { max: 1, fetch_types: false, onclose: end, onnotify: options.notify }
  const client = connect(options.address, clientOptions)
  options.signal.addEventListener('abort', end, { once: true })
  try {
    for (const channel of options.channels) await client`listen ${client(channel)}`
    if (!options.signal.aborted) options.onListening()
    await ended
  } finally {
    options.signal.removeEventListener('abort', end)
    await client.end({ timeout: 0 })
  }
}
