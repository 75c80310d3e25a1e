import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import { tunnelLimits } from './limits.ts'
import { createPeer } from './peer.ts'
import { TunnelError } from './tunnel-error.ts'
import type { PeerOptions, TunnelPeer } from './types.ts'
import { webSocketOptions } from './web-socket-options.ts'
import { createWebSocketLink } from './ws-link.ts'

export interface DialOptions extends Omit<PeerOptions, 'role'> {
  /** `ws:`, `wss:` or `ws+unix:/socket/path:/request/path`. */
  url: string
  /** The headers of the upgrade request, which include the credential. */
  headers?: Record<string, string>
  /** Ends the attempt; an open tunnel is not affected. */
  signal?: AbortSignal
  /** The time allowed to connect and for the WebSocket handshake. Default: `tunnelLimits.handshakeTimeoutMs`. */
  handshakeTimeoutMs?: number
}

/**
 * Opens a tunnel and resolves when both ends have agreed on a version. Rejects with a TunnelError: LINK_CLOSED when
 * the server cannot be reached or refuses (then `status` is its HTTP status), LINK_TIMEOUT, VERSION_MISMATCH,
 * PROTOCOL_ERROR, or CANCELLED by the signal.
 */
export async function dialTunnel(options: DialOptions): Promise<TunnelPeer> {
  const { url, headers, signal, handshakeTimeoutMs = tunnelLimits.handshakeTimeoutMs, ...peerOptions } = options
  if (isAborted(signal)) throw cancelled()
  const ws = new WebSocket(url, {
    ...webSocketOptions,
    handshakeTimeout: handshakeTimeoutMs,
    followRedirects: false,
    ...(headers === undefined ? {} : { headers }),
  })
  const abandon = () => ws.terminate()
  signal?.addEventListener('abort', abandon)
  try {
    const socket = await upgraded(ws)
    const peer = createPeer(createWebSocketLink(ws, { socket, masked: true }), { ...peerOptions, role: 'dialler' })
    await peer.ready
    return peer
  } catch (error) {
    if (isAborted(signal)) throw cancelled()
    throw error
  } finally {
    signal?.removeEventListener('abort', abandon)
  }
}

/** Resolves in the turn of the event loop in which the WebSocket opens, before any message can be lost. */
function upgraded(ws: WebSocket): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    ws.once('upgrade', ({ socket }: IncomingMessage) => {
      ws.once('open', () => {
        // Messages wait until the link is attached.
        ws.pause()
        resolve(socket)
      })
    })
    ws.once('unexpected-response', (request, response) => {
      response.resume()
      request.destroy()
      const status = response.statusCode ?? 0
      reject(new TunnelError('LINK_CLOSED', `the server refused the tunnel with status ${status}`, { status }))
      ws.terminate()
    })
    ws.on('error', (cause) => {
      const late = cause.message === 'Opening handshake has timed out'
      reject(new TunnelError(late ? 'LINK_TIMEOUT' : 'LINK_CLOSED', `cannot dial: ${cause.message}`, { cause }))
    })
  })
}

function cancelled(): TunnelError {
  return new TunnelError('CANCELLED', 'dialling was cancelled')
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}
