import { TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import type { IncomingExchange, TunnelPeer } from '@atoll/tunnel'
import { dialTunnel } from '@atoll/tunnel'

/** The handling of a call by a test's toolbox. */
export type ToolboxScript = (exchange: IncomingExchange, sandboxId: string) => void

export interface ToolboxDial {
  /** The URL of the API: `http://127.0.0.1:1234`. */
  url: string
  sandboxId: string
  token: string
  script: ToolboxScript
}

/** Dials home as a sandbox's toolbox does. The caller closes the peer. */
export function dialToolbox({ url, sandboxId, token, script }: ToolboxDial): Promise<TunnelPeer> {
  return dialTunnel({
    url: url.replace(/^http/, 'ws') + TOOLBOX_TUNNEL_PATH,
    headers: { authorization: `Bearer ${token}` },
    onRequest: (exchange) => script(exchange, sandboxId),
  })
}

/** Responds with the call itself: method, path, headers and the body's text. */
export const describeCall: ToolboxScript = (exchange, sandboxId) => {
  const chunks: Buffer[] = []
  exchange.handlers = {
    onData: (chunk) => chunks.push(Buffer.from(chunk)),
    onEnd: () => {
      const { method, path, headers } = exchange.head
      const body = Buffer.concat(chunks).toString('utf8')
      exchange.respond({ status: 200, headers: { 'content-type': 'application/json' } })
      exchange.end(Buffer.from(JSON.stringify({ sandboxId, method, path, headers, body })))
    },
    onReset: () => undefined,
  }
}
