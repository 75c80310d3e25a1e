import { describe, expect, it } from 'vitest'
import { frameTypes } from './frame.ts'
import { encodeHello, helloFor } from './handshake.ts'
import { resolveLimits } from './limits.ts'
import { createPeer } from './peer.ts'
import { FakeClock } from './testing/fake-clock.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import { createMemoryLinkPair } from './testing/memory-link.ts'
import { helloFrame, rawFrame, sendWhole, startRawEnd } from './testing/raw-end.ts'
import { createTunnelPair, echo, turn } from './testing/tunnel-pair.ts'
import type { IncomingExchange, ResponseHandlers } from './types.ts'

expectNothingLeft()

const get = { method: 'GET', path: '/', headers: {} }
const quiet: ResponseHandlers = { onResponse() {}, onData() {}, onEnd() {}, onReset() {} }

async function turns(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) await turn()
}

describe('the handshake', () => {
  it('ends with VERSION_MISMATCH at both ends when they share no version', async () => {
    const raw = startRawEnd({ greet: false })
    const hello = encodeHello({ ...helloFor(resolveLimits()), leastVersion: 2, mostVersion: 3 })
    raw.send(rawFrame(frameTypes.hello, 0, { payload: hello }))
    await expect(raw.peer.ready).rejects.toMatchObject({ code: 'VERSION_MISMATCH' })
    expect(await raw.closeCode).toBe(4001)

    const [link, far] = createMemoryLinkPair()
    const peer = createPeer(link, { role: 'dialler' })
    far.attach({ onMessage() {}, onDrain() {}, onClose() {} })
    far.close(4001, 'the other end speaks versions 1 to 1, this one 2 to 3')
    await expect(peer.ready).rejects.toMatchObject({ code: 'VERSION_MISMATCH' })
  })

  it('ignores what a newer version adds to its HELLO', async () => {
    const raw = startRawEnd({ greet: false })
    const hello = encodeHello({ ...helloFor(resolveLimits()), mostVersion: 9 })
    raw.send(rawFrame(frameTypes.hello, 0, { payload: Buffer.concat([hello, Buffer.from('more')]) }))
    await raw.peer.ready
    raw.peer.close()
  })

  it('ends with LINK_TIMEOUT when no HELLO comes in time', async () => {
    const clock = new FakeClock()
    const raw = startRawEnd({ greet: false, clock })
    clock.advance(9_999)
    expect(raw.peer.closed).toBe(false)
    clock.advance(1)
    await expect(raw.peer.ready).rejects.toMatchObject({ code: 'LINK_TIMEOUT' })
    expect(clock.waiting).toBe(0)
  })

  it('comes before any exchange', () => {
    const [link] = createMemoryLinkPair()
    const peer = createPeer(link, { role: 'dialler' })
    expect(() => peer.request(get, quiet)).toThrow(expect.objectContaining({ code: 'LINK_CLOSED' }))
    peer.close()
  })
})

describe('a link', () => {
  it('that falls silent ends with LINK_TIMEOUT, and its exchanges with it', async () => {
    const clock = new FakeClock()
    const raw = startRawEnd({ clock })
    await raw.peer.ready
    const reset = new Promise((resolve) => raw.peer.request(get, { ...quiet, onReset: resolve }))
    clock.advance(44_999)
    expect(raw.peer.closed).toBe(false)
    clock.advance(1)
    expect(await reset).toMatchObject({ code: 'LINK_TIMEOUT' })
    expect((await raw.closed).code).toBe('LINK_TIMEOUT')
    expect(clock.waiting).toBe(0)
  })

  it('that carries nothing is kept alive by pings, whose round trip is measured', async () => {
    const clock = new FakeClock()
    const { dialler, listener } = await createTunnelPair({ dialler: { clock }, listener: { clock } })
    await turns(10)
    expect(dialler.roundTripMs).toBe(0)
    for (let pings = 0; pings < 20; pings += 1) {
      clock.advance(15_000)
      await turns(3)
    }
    expect([dialler.closed, listener.closed]).toEqual([false, false])
    dialler.close()
    await listener.whenClosed
    expect(clock.waiting).toBe(0)
  })

  it('answers only the newest of many pings that wait', async () => {
    const raw = startRawEnd()
    await raw.peer.ready
    const pings = Array.from({ length: 500 }, (_, number) => {
      const payload = Buffer.alloc(8)
      payload.writeUInt32BE(number, 4)
      return rawFrame(frameTypes.ping, 0, { payload })
    })
    raw.send(...pings)
    await turns(5)
    const pongs = raw.seen.filter((frame) => frame.type === frameTypes.pong)
    expect(pongs.map(({ payload }) => payload.readUInt32BE(4))).toEqual([499])
    raw.peer.close()
  })
})

describe('a draining tunnel', () => {
  it('lets open exchanges end, refuses new ones from either side, then closes', async () => {
    const incoming: IncomingExchange[] = []
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.handlers = quiet
          incoming.push(exchange)
        },
      },
    })
    const answers: number[] = []
    const ended = new Promise<void>((resolve) => {
      const handlers = { ...quiet, onResponse: ({ status }: { status: number }) => void answers.push(status) }
      listener.request(get, { ...handlers, onEnd: resolve }).end()
    })
    await turns(3)
    const drained = listener.drain(60_000)
    await turns(3)
    for (const peer of [dialler, listener]) {
      expect(() => peer.request(get, quiet)).toThrow(expect.objectContaining({ code: 'LINK_CLOSED' }))
    }
    expect(listener.closed).toBe(false)
    incoming[0]?.respond({ status: 200, headers: {} })
    incoming[0]?.end()
    await ended
    await drained
    expect(answers).toEqual([200])
    expect((await dialler.whenClosed).code).toBe('LINK_CLOSED')
  })

  it('refuses a request that was already under way', async () => {
    const raw = startRawEnd({ onRequest: echo })
    await raw.peer.ready
    raw.peer.request(get, quiet)
    void raw.peer.drain(60_000)
    const id = 1 << 15
    raw.send(rawFrame(frameTypes.request, id, { payload: 'GET\n/' }))
    await expect
      .poll(() => raw.seen.filter((frame) => frame.exchangeId === id).map((frame) => frame.type))
      .toEqual([frameTypes.reset])
    raw.peer.close()
  })

  it('closes at its deadline, and what is open then ends with LINK_CLOSED', async () => {
    const clock = new FakeClock()
    const { dialler, listener } = await createTunnelPair({
      dialler: { onRequest: (exchange) => Object.assign(exchange, { handlers: quiet }) },
      listener: { clock },
    })
    const reset = new Promise((resolve) => listener.request(get, { ...quiet, onReset: resolve }))
    const drained = listener.drain(5_000)
    clock.advance(5_000)
    await drained
    expect(await reset).toMatchObject({ code: 'LINK_CLOSED' })
    await dialler.whenClosed
    expect(clock.waiting).toBe(0)
  })
})

describe('bounds', () => {
  it('a request beyond maxStreams or maxHeadBytes of either end is refused here', async () => {
    const { dialler, listener } = await createTunnelPair({
      dialler: { onRequest: echo, limits: { maxStreams: 2, maxHeadBytes: 100 } },
    })
    const tooLong = { ...get, path: `/${'x'.repeat(100)}` }
    expect(() => listener.request(tooLong, quiet)).toThrow(expect.objectContaining({ code: 'HEAD_TOO_LARGE' }))
    listener.request(get, quiet)
    listener.request(get, quiet)
    expect(() => listener.request(get, quiet)).toThrow(expect.objectContaining({ code: 'TOO_MANY_STREAMS' }))
    listener.close()
    await dialler.whenClosed
  })

  it('limits that the wire cannot express are refused', () => {
    const [link] = createMemoryLinkPair()
    for (const limits of [{ maxStreams: 20_000 }, { maxHeadBytes: 70_000 }, { maxFrameBytes: 10 }, { maxStreams: 0 }]) {
      expect(() => createPeer(link, { role: 'dialler', limits })).toThrow(RangeError)
    }
  })

  it('a head that HTTP could not carry is refused where it is made', async () => {
    const { dialler, listener } = await createTunnelPair({ dialler: { onRequest: echo } })
    for (const head of [
      { ...get, method: 'GET /' },
      { ...get, path: '/a b' },
      { ...get, path: '' },
      { ...get, headers: { Name: 'v' } },
      { ...get, headers: { name: 'a\r\nb: c' } },
      { ...get, headers: { name: 'a\nb' } },
      { ...get, headers: { name: '\u20ac' } },
    ]) {
      expect(() => listener.request(head, quiet)).toThrow(TypeError)
    }
    expect(listener.openStreams).toBe(0)
    listener.close()
    await dialler.whenClosed
  })
})

describe('a handler', () => {
  it.each(['onResponse', 'onData', 'onEnd'] as const)(
    'that throws in %s loses its exchange and nothing else',
    async (name) => {
      const { dialler, listener } = await createTunnelPair({ dialler: { onRequest: echo } })
      const failure = new Error('thrown by the test')
      const reset = new Promise<Error>((resolve) => {
        const throwing = () => {
          throw failure
        }
        listener.request(get, { ...quiet, [name]: throwing, onReset: resolve }).end(Buffer.from('content'))
      })
      expect(await reset).toMatchObject({ code: 'HANDLER_FAILED', cause: failure })
      await turns(4)
      expect([listener.openStreams, dialler.openStreams, listener.closed]).toEqual([0, 0, false])
      listener.close()
      await dialler.whenClosed
    },
  )

  it.each<[string, ((exchange: IncomingExchange) => void) | undefined]>([
    ['that nobody set', undefined],
    ['that takes no notice of the request', () => {}],
  ])('%s refuses the request with HANDLER_FAILED', async (_name, onRequest) => {
    const { dialler, listener } = await createTunnelPair({ dialler: onRequest === undefined ? {} : { onRequest } })
    const reset = new Promise((resolve) => listener.request(get, { ...quiet, onReset: resolve }))
    expect(await reset).toMatchObject({ code: 'HANDLER_FAILED' })
    listener.close()
    await dialler.whenClosed
  })
})

it('a HELLO arrives whole even when the other end attaches late', async () => {
  const [link, far] = createMemoryLinkPair()
  sendWhole(far, helloFrame())
  await turns(3)
  const peer = createPeer(link, { role: 'dialler' })
  await peer.ready
  peer.close()
})
