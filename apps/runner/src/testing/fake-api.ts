import { createServer } from 'node:http'
import { RUNNER_TUNNEL_PATH } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { acceptTunnel, createTunnelServer, requestBuffered } from '@atoll/tunnel'
import { closeServer, listenOnLoopback } from './listen.ts'

/** The part of the API that a runner sees. */
export interface FakeApi extends AsyncDisposable {
  readonly url: string
  /** Resolves with the next runner that dials with the right token, in the order they come. */
  nextRunner(): Promise<TunnelPeer>
}

export async function startFakeApi(token: string): Promise<FakeApi> {
  const server = createServer()
  const tunnels = createTunnelServer()
  const peers = new Set<TunnelPeer>()
  const arrived: TunnelPeer[] = []
  const waiting: ((peer: TunnelPeer) => void)[] = []
  server.on('upgrade', (req, socket, head) => {
    if (req.url !== RUNNER_TUNNEL_PATH || req.headers.authorization !== `Bearer ${token}`) {
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n')
      return
    }
    acceptTunnel(tunnels, { req, socket, head }, {}).then(
      (peer) => {
        peers.add(peer)
        void welcome(peer)
        const take = waiting.shift()
        if (take) take(peer)
        else arrived.push(peer)
      },
      () => undefined,
    )
  })
  return {
    url: await listenOnLoopback(server),
    nextRunner: () =>
      new Promise((resolve) => {
        const peer = arrived.shift()
        if (peer) resolve(peer)
        else waiting.push(resolve)
      }),
    [Symbol.asyncDispose]: async () => {
      for (const peer of peers) peer.close()
      tunnels.close()
      await closeServer(server)
    },
  }
}

/** Calls `/ready` of the runner. Ignores the failure of a link that a test ends before. */
async function welcome(peer: TunnelPeer): Promise<void> {
  const limits = { timeoutMs: 60_000, maxResponseBytes: 1_000 }
  await requestBuffered(peer, { method: 'POST', path: '/ready' }, limits).catch(() => undefined)
}
