import { describe, expect, it } from 'vitest'
import { requestBuffered } from './request-buffered.ts'
import { createTunnelPair, echo } from './testing/tunnel-pair.ts'
import { openDuplex, toDuplex } from './to-duplex.ts'

const bounds = { timeoutMs: 50_000, maxResponseBytes: 1024 * 1024 }

describe('a tunnel', () => {
  it('carries a request and its response with their heads and bodies', async () => {
    const { dialler, listener } = await createTunnelPair({ dialler: { onRequest: echo } })
    const response = await requestBuffered(listener, { method: 'PUT', path: '/x', body: 'ping' }, bounds)
    expect(response).toMatchObject({ status: 200, body: Buffer.from('ping') })
    expect(response.headers['x-path']).toBe('/x')
    expect(dialler.openStreams + listener.openStreams).toBe(0)
  })

  it('becomes a raw two-way stream whose halves end independently after a 101', async () => {
    const { listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.respond({ status: 101, headers: { upgrade: 'raw' } })
          const duplex = toDuplex(exchange)
          duplex.end('bye')
          duplex.on('data', (chunk) => received.push(chunk.toString()))
          duplex.on('end', done)
        },
      },
    })
    let done = () => {}
    const finished = new Promise<void>((resolve) => {
      done = resolve
    })
    const received: string[] = []
    const { duplex, response } = openDuplex(listener, { method: 'GET', path: '/', headers: { upgrade: 'raw' } })
    expect((await response).status).toBe(101)
    const bye: string[] = []
    for await (const chunk of duplex.iterator({ destroyOnReturn: false })) bye.push(chunk.toString())
    expect(bye.join('')).toBe('bye')
    duplex.end('still here')
    await finished
    expect(received.join('')).toBe('still here')
    expect(listener.openStreams).toBe(0)
  })

  it('delivers an early answer whole and stops the upload it did not wait for', async () => {
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.respond({ status: 413, headers: {} })
          exchange.end(Buffer.alloc(300_000, 'x'))
        },
      },
    })
    const response = await requestBuffered(listener, { method: 'POST', path: '/', body: Buffer.alloc(500_000) }, bounds)
    expect(response.status).toBe(413)
    expect(response.body.length).toBe(300_000)
    expect(listener.queuedBytes).toBe(0)
    await expect.poll(() => dialler.openStreams + listener.openStreams).toBe(0)
  })
})
