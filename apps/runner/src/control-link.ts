import { RUNNER_TUNNEL_PATH } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { IncomingExchange, KeptDialled } from '@atoll/tunnel'
import { dialTunnel, keepDialled, TunnelError } from '@atoll/tunnel'

const UNAUTHORIZED = 401

export interface ControlLinkOptions {
  /** Base URL of the API. */
  controlUrl: string
  token: string
  onRequest: (exchange: IncomingExchange) => void
  log: Logger
}

export interface ControlLink extends AsyncDisposable {
  /** Resolves when the API has answered for the first time; rejects, in one line, when it refuses the token. */
  readonly connected: Promise<void>
}

/** Keeps this runner's tunnel to the API, dialled again whenever it ends. */
export function openControlLink({ controlUrl, token, onRequest, log }: ControlLinkOptions): ControlLink {
  const url = controlUrl.replace(/^http/, 'ws') + RUNNER_TUNNEL_PATH
  let link: KeptDialled | undefined
  const connected = new Promise<void>((resolve, reject) => {
    link = keepDialled({
      dial: (signal) => dialTunnel({ url, headers: { authorization: `Bearer ${token}` }, onRequest, signal }),
      onPeer: () => {
        log.info({ controlUrl }, 'connected to the API')
        resolve()
      },
      onRetry: ({ after, error, attempts, retryInMs }) => {
        log.warn({ controlUrl, after, err: error, attempts, retryInMs }, 'no connection to the API')
        if (isRefusal(error)) reject(new Error(`the API at ${controlUrl} does not know this runner's token`))
      },
    })
  })
  // A caller that does not wait for `connected` has no use for its failure.
  connected.catch(() => undefined)
  return { connected, [Symbol.asyncDispose]: async () => link?.stop() }
}

function isRefusal(error: Error): boolean {
  return error instanceof TunnelError && error.status === UNAUTHORIZED
}
