import { setTimeout as wait } from 'node:timers/promises'
import type { IncomingExchange, TunnelPeer } from '@atoll/tunnel'
import { dialTunnel, keepDialled, MAX_RECONNECT_WAIT_MS, TunnelError } from '@atoll/tunnel'
import type { Log } from './log.ts'

/** How long calls in flight may take to finish once the toolbox is told to stop. */
const DRAIN_DEADLINE_MS = 1_000
const UNAUTHORIZED = 401

export interface ControlLink extends AsyncDisposable {
  /** Takes no new calls, lets calls in flight finish for up to a second, and closes. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface ControlLinkOptions {
  url: string
  token: string
  onRequest: (exchange: IncomingExchange) => void
  log: Log
  /** The wait after a refused token before the next attempt, in milliseconds. */
  refusedWaitMs?: number
}

/** Dials the control plane, and again after each end, until it is disposed. */
export function openControlLink(options: ControlLinkOptions): ControlLink {
  const { log, refusedWaitMs = MAX_RECONNECT_WAIT_MS } = options
  const link = keepDialled({
    dial: (signal) => dial(options, { signal, refusedWaitMs }),
    onPeer: () => log.info('connected'),
    onRetry: ({ after, error, attempts, retryInMs }) =>
      log.info(after === 'ended' ? 'disconnected' : 'cannot connect', {
        reason: error.message,
        attempts,
        retryInMs: Math.round(retryInMs),
      }),
  })
  return {
    async [Symbol.asyncDispose]() {
      await link.peer?.drain(DRAIN_DEADLINE_MS)
      await link.stop()
    },
  }
}

/** Dials once. Waits after a refused token, which is most likely revoked: asking soon would only load the control plane. */
async function dial(
  { url, token, onRequest }: ControlLinkOptions,
  { signal, refusedWaitMs }: { signal: AbortSignal; refusedWaitMs: number },
): Promise<TunnelPeer> {
  try {
    return await dialTunnel({ url, headers: { authorization: `Bearer ${token}` }, signal, onRequest })
  } catch (error) {
    if (error instanceof TunnelError && error.status === UNAUTHORIZED) {
      await wait(refusedWaitMs, undefined, { signal }).catch(() => {})
    }
    throw error
  }
}
