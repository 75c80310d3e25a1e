import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { describe, expect, it } from 'vitest'
import { expectNothingLeft } from './testing/leak-check.ts'
import { createTunnelPair, echo, turn } from './testing/tunnel-pair.ts'
import { openDuplex, toDuplex } from './to-duplex.ts'

expectNothingLeft()

const post = { method: 'POST', path: '/', headers: {} }

describe('an exchange as a Node stream', () => {
  it('carries 5 MiB through a pipeline at the other end and back', async () => {
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.respond({ status: 200, headers: {} })
          const duplex = toDuplex(exchange)
          void pipeline(duplex, duplex)
        },
      },
    })
    const { duplex, response } = openDuplex(listener, post)
    const body = Buffer.alloc(5 * 1024 * 1024, 'abcdefg')
    duplex.end(body)
    const received: Buffer[] = []
    for await (const chunk of duplex) received.push(chunk)
    expect((await response).status).toBe(200)
    expect(Buffer.concat(received).equals(body)).toBe(true)
    expect(listener.openStreams).toBe(0)
    listener.close()
    await dialler.whenClosed
  })

  it('holds its writer back while nobody reads', async () => {
    const { dialler, listener } = await createTunnelPair({
      dialler: { onRequest: (exchange) => void toDuplex(exchange).on('error', () => {}) },
    })
    const { duplex } = openDuplex(listener, post)
    const chunk = Buffer.alloc(64 * 1024)
    let written = 0
    for (let turns = 0; turns < 200; turns += 1) {
      if (!duplex.writableNeedDrain) {
        duplex.write(chunk)
        written += chunk.length
      }
      await turn()
    }
    expect(duplex.writableNeedDrain).toBe(true)
    expect(written).toBeLessThan(1024 * 1024)
    duplex.on('error', () => {})
    duplex.destroy()
    listener.close()
    await dialler.whenClosed
  })

  it('is cancelled at the other end when destroyed, and destroyed when the other end resets', async () => {
    const resets: string[] = []
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          if (exchange.head.path === '/reset') exchange.reset('HANDLER_FAILED', 'no')
          else toDuplex(exchange).on('error', (error) => resets.push(error.message))
        },
      },
    })
    const { duplex, response } = openDuplex(listener, post)
    await turn()
    duplex.destroy()
    await expect(response).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect.poll(() => resets).toEqual(['the stream was destroyed'])
    const refused = openDuplex(listener, { ...post, path: '/reset' })
    const [error] = await once(refused.duplex, 'error')
    expect(error).toMatchObject({ code: 'HANDLER_FAILED', message: 'no' })
    await expect(refused.response).rejects.toMatchObject({ code: 'HANDLER_FAILED' })
    listener.close()
    await dialler.whenClosed
  })

  it('fails when the link does', async () => {
    const { dialler, listener } = await createTunnelPair({ dialler: { onRequest: echo } })
    const { duplex } = openDuplex(listener, post)
    duplex.write('half')
    await once(duplex, 'data')
    listener.close()
    const [error] = await once(duplex, 'error')
    expect(error).toMatchObject({ code: 'LINK_CLOSED' })
    await dialler.whenClosed
    expect(() => openDuplex(listener, post)).toThrow(expect.objectContaining({ code: 'LINK_CLOSED' }))
  })

  it('that answers early closes without an error, and its answer arrives whole', async () => {
    let closed: () => void = () => {}
    const answererClosed = new Promise<void>((resolve) => {
      closed = resolve
    })
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.respond({ status: 413, headers: {} })
          toDuplex(exchange)
            .on('error', (error) => expect.unreachable(error.message))
            .on('close', closed)
            .end(Buffer.alloc(500_000, 'x'))
        },
      },
    })
    const { duplex, response } = openDuplex(listener, post)
    duplex.write(Buffer.alloc(200_000))
    const received: Buffer[] = []
    duplex.on('data', (chunk: Buffer) => received.push(chunk))
    await once(duplex, 'end')
    expect((await response).status).toBe(413)
    expect(Buffer.concat(received).length).toBe(500_000)
    await answererClosed
    duplex.end()
    await expect.poll(() => dialler.openStreams + listener.openStreams).toBe(0)
    listener.close()
    await dialler.whenClosed
  })
})
