import { once } from 'node:events'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { createLogger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import { dialTunnel } from '@atoll/tunnel'
import { afterEach, describe, expect, it } from 'vitest'
import { createTrustedProxies } from '../http/trusted-proxies.ts'
import { hashToken } from '../sandboxes/sandbox-steps.ts'
import { until } from '../testing/until.ts'
import type { TunnelEndpoint } from './tunnel-upgrade.ts'
import { createTunnelUpgrade } from './tunnel-upgrade.ts'

const good = 'a-token-of-sixteen-or-more'
const stops: (() => void)[] = []
let server: Server

afterEach(async () => {
  for (const stop of stops.splice(0)) stop()
  await new Promise((resolve) => server.close(resolve))
})

/** Starts a server whose only tunnel path admits the token `good`; returns its port, and the tunnels and connections it took. */
async function serve(endpoint: Partial<TunnelEndpoint> = {}) {
  const taken: { peer: TunnelPeer; sequence: number }[] = []
  const lookups: string[] = []
  const staying: Duplex[] = []
  const upgrade = createTunnelUpgrade({
    endpoints: {
      '/tunnel': {
        async authenticate(tokenHash) {
          lookups.push(tokenHash)
          if (tokenHash !== hashToken(good)) return undefined
          return (peer, sequence) => {
            taken.push({ peer, sequence })
          }
        },
        ...endpoint,
      },
    },
    proxies: createTrustedProxies([]),
    waitingRoom: { leave: (socket) => staying.push(socket) },
    log: createLogger('test', 'silent'),
    now: () => 0,
  })
  server = createServer()
  server.on('upgrade', (request, socket, head) => {
    if (!upgrade(request, socket, head)) socket.end('HTTP/1.1 418 Not a tunnel\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const dial = async (token: string | undefined, path = '/tunnel') => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const peer = await dialTunnel({ url: `ws://127.0.0.1:${port}${path}`, headers })
    stops.push(() => peer.close())
    return peer
  }
  return { dial, port, taken, staying, lookups }
}

describe('a tunnel that is dialled', () => {
  it('is taken with a good token, in the order of arrival', async () => {
    const { dial, taken, staying } = await serve()
    await dial(good)
    await dial(good)
    await until('both are taken', () => taken.length === 2)
    expect(taken.map(({ sequence }) => sequence)).toEqual([1, 2])
    expect(staying).toHaveLength(2)
    expect(taken.every(({ peer }) => !peer.closed)).toBe(true)
  })

  it('is refused before the upgrade, with the body of every error', async () => {
    const { dial, port, taken, staying } = await serve()
    for (const token of [undefined, 'short', 'x'.repeat(300), 'wrong-token-wrong-token']) {
      await expect(dial(token)).rejects.toMatchObject({ code: 'LINK_CLOSED', status: 401 })
    }
    const socket = connect(port, '127.0.0.1')
    socket.write('GET /tunnel HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    let text = ''
    socket.on('data', (piece) => {
      text += piece
    })
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 401 Unauthorized/)
    expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n')))).toMatchObject({ statusCode: 401, code: 'UNAUTHORIZED' })
    expect([taken, staying]).toEqual([[], []])
  })

  it('to another path is none of its business', async () => {
    const { dial } = await serve()
    await expect(dial(good, '/toString')).rejects.toMatchObject({ status: 418 })
  })

  it('costs no lookup when the token cannot be one', async () => {
    const { dial, lookups } = await serve()
    await dial('no').catch(() => undefined)
    expect(lookups).toEqual([])
  })

  it('is refused without a lookup when its source has guessed too often, unless the token is known or expected', async () => {
    const expected = 'expected-token-expected'
    const { dial, lookups, taken } = await serve({ expects: (hash) => hash === hashToken(expected) })
    await dial(good)
    const guesses = Array.from({ length: 40 }, (_, i) => dial(`guess-guess-guess-${i}`).catch((error) => error.status))
    const statuses = await Promise.all(guesses)
    expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(30)
    const before = lookups.length
    await expect(dial('one-guess-too-many')).rejects.toMatchObject({ status: 429 })
    expect(lookups).toHaveLength(before)
    await dial(good)
    await until('both are taken', () => taken.length === 2)
    await expect(dial(expected)).rejects.toMatchObject({ status: 401 })
  })

  it('is refused with 503 when nobody can be asked who it is', async () => {
    const { dial } = await serve({ authenticate: () => Promise.reject(new Error('no database')) })
    await expect(dial(good)).rejects.toMatchObject({ status: 503 })
  })

  it('whose client leaves while it is looked up is given up quietly', async () => {
    let answer: () => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      answer = resolve
    })
    let finish: () => void = () => undefined
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const taken: unknown[] = []
    const { port } = await serve({
      async authenticate() {
        answer()
        await finished
        return (peer) => taken.push(peer)
      },
    })
    const socket = connect(port, '127.0.0.1')
    const lines = ['GET /tunnel HTTP/1.1', 'host: x', 'connection: upgrade', 'upgrade: websocket']
    socket.write([...lines, `authorization: Bearer ${good}`, '', ''].join('\r\n'))
    await asked
    socket.destroy()
    await once(socket, 'close')
    finish()
    await new Promise((resolve) => setImmediate(resolve))
    expect(taken).toEqual([])
  })
})
