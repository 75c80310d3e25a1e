import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { createPeer } from './peer.ts'
import { TunnelError } from './tunnel-error.ts'
import type { PeerOptions, TunnelPeer } from './types.ts'
import { webSocketOptions } from './web-socket-options.ts'
import { createWebSocketLink } from './ws-link.ts'

/** An upgrade request as `http.Server` passes it on. Its sender must be authenticated already. */
export interface UpgradeRequest {
  req: IncomingMessage
  socket: Duplex
  head: Buffer
}

/** Makes the WebSocket server that accepts tunnels. It has no port of its own and keeps no list of clients. */
export function createTunnelServer(): WebSocketServer {
  return new WebSocketServer({ ...webSocketOptions, noServer: true, clientTracking: false })
}

/**
 * Turns an upgrade request into a tunnel and resolves when both ends have agreed on a version. Rejects with a
 * TunnelError; by then the request was answered and its socket ended.
 */
export async function acceptTunnel(
  server: WebSocketServer,
  upgrade: UpgradeRequest,
  options: Omit<PeerOptions, 'role'>,
): Promise<TunnelPeer> {
  const peer = await new Promise<TunnelPeer>((resolve, reject) => {
    const { req, socket, head } = upgrade
    const refused = () => reject(new TunnelError('LINK_CLOSED', 'the upgrade request was no valid one'))
    if (socket.destroyed) refused()
    socket.once('close', refused)
    server.handleUpgrade(req, socket, head, (ws) => {
      socket.off('close', refused)
      // The peer is made in this very call, so that no message is missed.
      resolve(createPeer(createWebSocketLink(ws, { socket, masked: false }), { ...options, role: 'listener' }))
    })
  })
  await peer.ready
  return peer
}
