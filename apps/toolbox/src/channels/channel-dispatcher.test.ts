import { AppError, defineChannel } from '@atoll/protocol'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ChannelFront } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import { sdkVersion } from './channel.ts'
import { createChannelDispatcher } from './channel-dispatcher.ts'
import type { ChannelSocket } from './channel-socket.ts'

const channels = {
  echo: defineChannel({
    path: '/echo/{name}',
    summary: 'Echo',
    description: 'Every message comes back',
    params: Type.Object({ name: Type.String() }),
    query: Type.Object({ times: Type.Optional(Type.Integer({ minimum: 1 })) }),
    errors: ['NOT_FOUND'],
  }),
}

let front: ChannelFront
let opened: ChannelSocket | undefined
const errors: string[] = []

beforeAll(async () => {
  const handle = createChannelDispatcher({
    channels,
    handlers: {
      async echo({ params, query, offered, headers }) {
        if (params.name === 'nobody') throw new AppError('NOT_FOUND', 'nobody is not here')
        if (params.name === 'broken') throw new Error('secret')
        return {
          ...(offered.includes('second') ? { subprotocol: 'second' } : {}),
          attach(socket) {
            opened = socket
            socket.listen({
              onMessage: (message, text) => {
                for (let time = 0; time < (query.times ?? 1); time += 1) {
                  socket.send(text ? message.toString() : message)
                }
              },
            })
            socket.send(`${params.name} ${sdkVersion(headers, offered)}`)
          },
        }
      },
    },
    log: { info() {}, error: (message, fields) => errors.push(`${message} ${JSON.stringify(fields)}`) },
    now: Date.now,
  })
  const [near, far] = createMemoryLinkPair()
  createPeer(near, { role: 'dialler', onRequest: handle })
  const peer = createPeer(far, { role: 'listener' })
  await peer.ready
  front = await startChannelFront(peer)
})
afterAll(() => front[Symbol.asyncDispose]())

describe('a channel', () => {
  it('carries text and binary messages both ways', async () => {
    const client = await front.connect('/echo/a%20b?times=2', { headers: { 'x-daytona-sdk-version': '0.23.1' } })
    expect(await client.next()).toBe('a b 0.23.1')
    client.socket.send('text')
    expect([await client.next(), await client.next()]).toEqual(['text', 'text'])
    client.socket.send(Buffer.from([0, 255]))
    expect(await client.next()).toEqual(Buffer.from([0, 255]))
  })

  it('takes the version from a subprotocol, and answers with the first one offered', async () => {
    const client = await front.connect('/echo/x', { subprotocols: ['X-Daytona-SDK-Version~0.218.0', 'other'] })
    expect(client.socket.protocol).toBe('X-Daytona-SDK-Version~0.218.0')
    expect(await client.next()).toBe('x 0.218.0')
  })

  it('answers with the subprotocol its handler picks', async () => {
    const client = await front.connect('/echo/x', { subprotocols: ['first', 'second'] })
    expect(client.socket.protocol).toBe('second')
  })

  it.each([
    ['/nowhere', 404],
    ['/echo/nobody', 404],
    ['/echo/x?times=many', 400],
    ['/echo/%zz', 400],
    ['/echo/broken', 500],
  ])('%s is answered %i instead of the upgrade', async (path, status) => {
    await expect(front.connect(path)).rejects.toThrow(`Unexpected server response: ${status}`)
  })

  it('refuses what is no handshake of version 13', async () => {
    const response = await new Promise<number | undefined>((resolve, reject) => {
      import('node:http').then(({ request }) => {
        const call = request(`${front.url.replace('ws:', 'http:')}/echo/x`, {
          headers: { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '8' },
        })
        call.on('response', (answer) => resolve(answer.statusCode))
        call.on('error', reject)
        call.end()
      }, reject)
    })
    expect(response).toBe(400)
  })

  it('closes with the code and the reason it is told, cut to what a close frame holds', async () => {
    const client = await front.connect('/echo/x')
    await client.next()
    opened?.close(4008, 'é'.repeat(100))
    expect(await client.closed).toEqual({ code: 4008, reason: 'é'.repeat(61) })
    expect(opened?.open).toBe(false)
    expect(opened?.send('late')).toBe(true)
  })

  it('ends at a message over the limit', async () => {
    const client = await front.connect('/echo/x')
    client.socket.send(Buffer.alloc(5 * 1024 * 1024))
    expect((await client.closed).code).toBe(1009)
  })

  it('asks its sender to wait for a client that does not read, tells when it may go on, and cuts it off in the end', async () => {
    const client = await front.connect('/echo/x')
    await client.next()
    const socket = opened
    const drained = new Promise<void>((resolve) => socket?.listen({ onDrain: resolve }))
    client.socket.pause()
    const piece = Buffer.alloc(64 * 1024)
    let pieces = 0
    while (socket?.send(piece) === true) {
      pieces += 1
      if (pieces % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    client.socket.resume()
    await drained
    client.socket.pause()
    const closed = new Promise<number>((resolve) => socket?.listen({ onClose: resolve }))
    while (socket?.open) socket.send(piece)
    client.socket.terminate()
    await closed
  })

  it('logs only what is unexpected', () => {
    expect(errors).toHaveLength(1)
    expect(errors[0]).toContain('secret')
  })
})
