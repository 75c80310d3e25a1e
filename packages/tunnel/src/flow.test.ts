import { describe, expect, it } from 'vitest'
import { frameTypes } from './frame.ts'
import { FakeClock } from './testing/fake-clock.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import { framesOf } from './testing/raw-end.ts'
import { createTunnelPair, echo, turn } from './testing/tunnel-pair.ts'
import type { IncomingExchange, ResponseHandlers, TunnelStream } from './types.ts'

expectNothingLeft()

const KIB = 1024
const get = { method: 'GET', path: '/', headers: {} }
const quiet: ResponseHandlers = { onResponse() {}, onData() {}, onEnd() {}, onReset() {} }

async function turns(count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) await turn()
}

/** Answers without end, as fast as `write` allows, and counts the bytes written. */
function endless(exchange: IncomingExchange): { written: number } {
  const count = { written: 0 }
  const chunk = Buffer.alloc(64 * KIB, 'x')
  const fill = () => {
    do count.written += chunk.length
    while (exchange.write(chunk))
  }
  exchange.handlers = { onData() {}, onEnd() {}, onDrain: fill, onReset() {} }
  exchange.respond({ status: 200, headers: {} })
  fill()
  return count
}

/** Adds up the data that reaches either end. */
function countData(message: Buffer, bytes: { arrived: number }): Buffer {
  for (const frame of framesOf(message)) if (frame.type === frameTypes.data) bytes.arrived += frame.payload.length
  return message
}

describe('a reader that stalls', () => {
  it('stops its sender within one window and one queue, however long it stalls', async () => {
    const counts: { written: number }[] = []
    const { dialler, listener } = await createTunnelPair({
      dialler: { onRequest: (exchange) => counts.push(endless(exchange)) },
    })
    const streams = Array.from({ length: 20 }, () => {
      const stream = listener.request(get, quiet)
      stream.pause()
      return stream
    })
    await turns(50)
    // The opening window, the bound of the queue, and the chunk that filled the queue.
    const most = (64 + 128 + 64) * KIB
    const before = counts.map(({ written }) => written)
    for (const written of before) expect(written).toBeLessThanOrEqual(most)
    expect(dialler.queuedBytes).toBeLessThanOrEqual(20 * (128 + 64) * KIB)
    await turns(50)
    expect(counts.map(({ written }) => written)).toEqual(before)
    for (const stream of streams) stream.resume()
    await turns(20)
    for (const [index, { written }] of counts.entries()) expect(written).toBeGreaterThan(before[index] ?? 0)
    listener.close()
    await dialler.whenClosed
  })

  it('that reads in between keeps at most its window waiting, and gets every byte in order', async () => {
    const body = Buffer.alloc(3 * KIB * KIB, '0123456789abcdefghijklmnopqrstuvwxyz-')
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.handlers = quiet
          exchange.respond({ status: 200, headers: {} })
          exchange.end(body)
        },
      },
    })
    const received: Buffer[] = []
    await new Promise<void>((resolve) => {
      const stream: TunnelStream = listener.request(get, {
        ...quiet,
        onData(chunk) {
          received.push(Buffer.from(chunk))
          stream.pause()
          setImmediate(() => stream.resume())
        },
        onEnd: resolve,
      })
      stream.end()
    })
    expect(Buffer.concat(received).equals(body)).toBe(true)
    listener.close()
    await dialler.whenClosed
  })

  it('at the network lets no more wait on the link than it may hold', async () => {
    const { dialler, listener, links } = await createTunnelPair({
      dialler: { onRequest: (exchange) => endless(exchange) },
      link: { pipeBytes: 32 * KIB },
    })
    for (let count = 0; count < 10; count += 1) listener.request(get, quiet)
    await turns(3)
    links[1].pause()
    await turns(100)
    // The bound of 128 KiB, and one turn of an exchange that began below it.
    expect(links[0].bufferedBytes).toBeLessThanOrEqual((128 + 32 + 16) * KIB)
    expect(dialler.queuedBytes).toBeLessThanOrEqual(10 * (128 + 64) * KIB)
    links[1].resume()
    await turns(10)
    listener.close()
    await dialler.whenClosed
  })
})

describe('a cancelled exchange', () => {
  it('frees what it held at both ends, in either direction', async () => {
    const incoming: IncomingExchange[] = []
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          incoming.push(exchange)
          endless(exchange)
        },
      },
    })
    const resets: string[] = []
    const byAsker = listener.request(get, quiet)
    listener.request(get, { ...quiet, onReset: (error) => resets.push(`${error.code}: ${error.message}`) })
    byAsker.pause()
    await turns(10)
    byAsker.reset()
    incoming[1]?.reset('HANDLER_FAILED', 'no more')
    await turns(10)
    expect(resets).toEqual(['HANDLER_FAILED: no more'])
    expect([dialler.openStreams, listener.openStreams, dialler.queuedBytes]).toEqual([0, 0, 0])
    listener.close()
    await dialler.whenClosed
  })

  it('among 3 000 at once leaves a bystander untouched', async () => {
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          if (exchange.head.path === '/bystander') echo(exchange)
          else exchange.handlers = quiet
        },
      },
    })
    const received: Buffer[] = []
    let ended: () => void = () => {}
    const complete = new Promise<void>((resolve) => {
      ended = resolve
    })
    const bystander = listener.request(
      { ...get, path: '/bystander' },
      {
        ...quiet,
        onData: (chunk) => received.push(Buffer.from(chunk)),
        onEnd: () => ended(),
        onReset: (error) => expect.unreachable(error.message),
      },
    )
    const body = Buffer.alloc(100 * KIB, 'bystander ')
    bystander.write(body)
    const others = Array.from({ length: 3_000 }, () => listener.request(get, quiet))
    await turns(5)
    expect(dialler.openStreams).toBe(3_001)
    for (const other of others) other.reset()
    bystander.end(body)
    await complete
    expect(Buffer.concat(received).equals(Buffer.concat([body, body]))).toBe(true)
    await turns(5)
    expect([dialler.openStreams, listener.openStreams, listener.closed]).toEqual([0, 0, false])
    listener.close()
    await dialler.whenClosed
  })

  it('before its request left costs the other end nothing', async () => {
    const requests: string[] = []
    const { dialler, listener, links } = await createTunnelPair({
      dialler: { onRequest: (exchange) => requests.push(exchange.head.path) },
      link: { pipeBytes: KIB },
    })
    links[0].pause()
    const bulk = listener.request({ ...get, path: '/bulk' }, quiet)
    bulk.write(Buffer.alloc(60 * KIB))
    for (let count = 0; count < 40; count += 1) listener.request({ ...get, path: `/${'x'.repeat(8 * KIB)}` }, quiet)
    await turns(5)
    const late = listener.request({ ...get, path: '/late' }, quiet)
    late.reset()
    links[0].resume()
    await turns(200)
    expect(requests).toHaveLength(41)
    expect(requests).not.toContain('/late')
    listener.close()
    await dialler.whenClosed
  })
})

describe('an exchange of a few bytes', () => {
  it.each([1, 4, 16])(
    'beside %i downloads waits for one turn of each and what the link holds, no longer',
    async (bulks) => {
      const watched = { active: false, bulkBytes: 0 }
      const pipeBytes = 16 * KIB
      const { dialler, listener } = await createTunnelPair({
        dialler: {
          onRequest(exchange) {
            if (exchange.head.path === '/key') echo(exchange)
            else endless(exchange)
          },
        },
        link: {
          pipeBytes,
          tamper(message) {
            if (!watched.active) return message
            for (const frame of framesOf(message))
              if (frame.type === frameTypes.data) watched.bulkBytes += frame.payload.length
            return message
          },
        },
      })
      for (let count = 0; count < bulks; count += 1) listener.request({ ...get, path: '/bulk' }, quiet)
      await turns(40)
      for (let key = 0; key < 5; key += 1) {
        Object.assign(watched, { active: true, bulkBytes: 0 })
        await new Promise<void>((resolve) => {
          listener.request({ ...get, path: '/key' }, { ...quiet, onEnd: resolve }).end(Buffer.from('k'))
        })
        watched.active = false
        // The head of the answer and then its data each wait for a turn.
        const turnsOfAll = 2 * (bulks + 1) * 32 * KIB
        expect(watched.bulkBytes).toBeLessThanOrEqual(2 * (128 * KIB + pipeBytes) + turnsOfAll)
      }
      listener.close()
      await dialler.whenClosed
    },
  )
})

describe('a credit window', () => {
  /** Returns the bytes that one download gets over a path with this round trip, in this time of the test's clock. */
  async function download(roundTripMs: number, forMs: number): Promise<number> {
    const clock = new FakeClock()
    const options = { clock }
    let running = true
    const ready = createTunnelPair({
      dialler: { ...options, onRequest: (exchange) => endless(exchange) },
      listener: options,
      link: { schedule: (step) => void clock.after(roundTripMs / 2, step) },
    })
    const tick = async () => {
      while (running) {
        await turn()
        clock.advance(1)
      }
    }
    const ticking = tick()
    const { dialler, listener } = await ready
    // Long enough for the first pings and for a window to grow.
    let bytes = 0
    const onData = (chunk: Buffer) => {
      bytes += chunk.length
    }
    listener.request(get, { ...quiet, onData })
    const wait = (ms: number) => new Promise<void>((resolve) => void clock.after(ms, resolve))
    await wait(30 * roundTripMs)
    bytes = 0
    await wait(forMs)
    listener.close()
    await wait(roundTripMs)
    running = false
    await ticking
    expect(dialler.closed).toBe(true)
    return bytes
  }

  it('grows with the path: 40 ms away a download gets most of 4 MiB a round trip', async () => {
    const perRoundTrip = (await download(40, 400)) / 10
    expect(perRoundTrip).toBeGreaterThan(2 * KIB * KIB)
    expect(perRoundTrip).toBeLessThanOrEqual(4 * KIB * KIB)
  })

  it('stays at 256 KiB where the round trip is this machine’s own, however fast it is read', async () => {
    const bytes = { arrived: 0, read: 0 }
    // The clock stands still: a round trip takes no time, even on a busy machine.
    const clock = new FakeClock()
    const { dialler, listener } = await createTunnelPair({
      dialler: { clock, onRequest: (exchange) => endless(exchange) },
      listener: { clock },
      link: { tamper: (message) => countData(message, bytes) },
    })
    const onData = (chunk: Buffer) => {
      bytes.read += chunk.length
    }
    const stream = listener.request(get, { ...quiet, onData })
    await turns(200)
    stream.pause()
    await turns(50)
    expect(bytes.arrived - bytes.read).toBe(256 * KIB)
    listener.close()
    await dialler.whenClosed
  })

  it('above the opening one comes from a budget of the link', async () => {
    const limits = { maxLinkWindowBytes: 512 * KIB }
    const bytes = { arrived: 0, read: 0 }
    const { dialler, listener } = await createTunnelPair({
      dialler: { onRequest: (exchange) => endless(exchange) },
      listener: { limits },
      link: {
        tamper(message) {
          for (const frame of framesOf(message))
            if (frame.type === frameTypes.data) bytes.arrived += frame.payload.length
          return message
        },
      },
    })
    const onData = (chunk: Buffer) => {
      bytes.read += chunk.length
    }
    const streams = Array.from({ length: 10 }, () => listener.request(get, { ...quiet, onData }))
    await turns(40)
    for (const stream of streams) stream.pause()
    await turns(80)
    expect(bytes.arrived - bytes.read).toBeGreaterThan(10 * 64 * KIB)
    expect(bytes.arrived - bytes.read).toBeLessThanOrEqual((10 * 64 + 512) * KIB)
    for (const stream of streams) stream.reset()
    await turns(10)
    expect(dialler.openStreams).toBe(0)
    listener.close()
    await dialler.whenClosed
  })
})
