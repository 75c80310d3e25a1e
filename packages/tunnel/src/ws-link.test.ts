import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { acceptTunnel, createTunnelServer } from './accept-tunnel.ts'
import { dialTunnel } from './dial-tunnel.ts'
import { requestBuffered } from './request-buffered.ts'
import { echo } from './testing/tunnel-pair.ts'
import { openDuplex } from './to-duplex.ts'
import type { TunnelPeer } from './types.ts'

const bounds = { timeoutMs: 50_000, maxResponseBytes: 64 * 1024 * 1024 }

describe.each(['tcp', 'unix'] as const)('a tunnel over a WebSocket on %s', (transport) => {
  const tunnelServer = createTunnelServer()
  let folder: string
  let server: Server
  let url: string
  let accepted: Promise<TunnelPeer>

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'atoll-tunnel-'))
    server = createServer()
    accepted = new Promise((resolve, reject) => {
      server.on('upgrade', (req, socket, head) => {
        if (req.headers.authorization !== 'Bearer good') {
          socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
          return
        }
        acceptTunnel(tunnelServer, { req, socket, head }, { onRequest: echo }).then(resolve, reject)
      })
    })
    accepted.catch(() => {})
    const path = join(folder, 'api.sock')
    await new Promise<void>((resolve) =>
      transport === 'tcp' ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
    )
    const address = server.address()
    url = typeof address === 'object' ? `ws://127.0.0.1:${address?.port}/dial` : `ws+unix:${path}:/dial`
  })

  afterEach(async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
    await rm(folder, { recursive: true })
  })

  it('carries exchanges opened by both ends', async () => {
    const dialler = await dialTunnel({ url, headers: { authorization: 'Bearer good' }, onRequest: echo })
    const listener = await accepted
    for (const peer of [dialler, listener]) {
      const response = await requestBuffered(peer, { method: 'POST', path: '/a?b=c', body: 'hello' }, bounds)
      expect(response.status).toBe(200)
      expect(response.headers['x-path']).toBe('/a?b=c')
      expect(response.body.toString()).toBe('hello')
    }
    expect(dialler.openStreams + listener.openStreams).toBe(0)
    dialler.close()
    expect((await listener.whenClosed).code).toBe('LINK_CLOSED')
  })

  it('carries 16 MiB each way in order', async () => {
    const dialler = await dialTunnel({ url, headers: { authorization: 'Bearer good' } })
    const body = Buffer.alloc(16 * 1024 * 1024, 'abcdefghijklm')
    const response = await requestBuffered(dialler, { method: 'POST', path: '/', body }, bounds)
    expect(response.body.equals(body)).toBe(true)
    dialler.close()
    await (await accepted).whenClosed
  })

  it('fails open exchanges with LINK_CLOSED when the connection is cut', async () => {
    const dialler = await dialTunnel({ url, headers: { authorization: 'Bearer good' } })
    const { duplex } = openDuplex(dialler, { method: 'GET', path: '/', headers: {} })
    const failed = new Promise((resolve) => duplex.once('error', resolve))
    server.closeAllConnections()
    const listener = await accepted
    listener.close()
    expect(await failed).toMatchObject({ code: 'LINK_CLOSED' })
    expect(dialler.closed).toBe(true)
  })

  it('reports the status with which the server refused it', async () => {
    await expect(dialTunnel({ url, headers: { authorization: 'Bearer bad' } })).rejects.toMatchObject({
      code: 'LINK_CLOSED',
      status: 401,
    })
  })

  it('ends with PROTOCOL_ERROR when the other end sends text, or more than a message may hold', async () => {
    for (const message of ['text', Buffer.alloc(64 * 1024)]) {
      const ws = new WebSocket(url, { headers: { authorization: 'Bearer good' } })
      await new Promise((resolve) => ws.once('open', resolve))
      ws.on('error', () => {})
      const closed = new Promise((resolve) => ws.once('close', resolve))
      ws.send(message)
      await closed
    }
    await expect(accepted).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' })
  })
})
