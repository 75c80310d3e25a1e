import { describe, expect, it } from 'vitest'
import { FRAME_HEADER_BYTES } from './frame.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import type { MemoryLink } from './testing/memory-link.ts'
import { createTunnelPair, echo } from './testing/tunnel-pair.ts'
import type { IncomingExchange, RequestHead, ResponseHandlers, TunnelPeer } from './types.ts'

expectNothingLeft()

/** How each exchange of a scenario ended, at each end that still had it open: `complete` or an error code. */
type Outcome = string

/** Where the link breaks: after so many frames, counted in both directions, or within the frame after them. */
interface Cut {
  afterFrames: number
  how: 'at the boundary' | 'inside the next frame'
}

async function runScenario(cut: Cut): Promise<{ outcomes: Outcome[]; frames: number; peers: TunnelPeer[] }> {
  let frames = 0
  let links: MemoryLink[] = []
  const asked: Promise<Outcome>[] = []
  const answered: Promise<Outcome>[] = []
  const onRequest = (exchange: IncomingExchange) => answered.push(answer(exchange))
  const pair = await createTunnelPair({
    dialler: { onRequest, limits: { maxFrameBytes: 1024 } },
    listener: { onRequest, limits: { maxFrameBytes: 1024 } },
    link: {
      tamper(message) {
        let offset = 0
        while (offset < message.length) {
          if (links.length > 0 && frames === cut.afterFrames) {
            for (const link of links) link.terminate()
            const arrives = message.subarray(0, cut.how === 'at the boundary' ? offset : offset + 5)
            return arrives.length > 0 ? arrives : undefined
          }
          offset += FRAME_HEADER_BYTES + message.readUInt16BE(offset + 2)
          if (links.length > 0) frames += 1
        }
        return message
      },
    },
  })
  links = pair.links
  const { dialler, listener } = pair
  for (const bytes of [0, 100, 5_000]) asked.push(ask(listener, '/echo', bytes))
  asked.push(ask(dialler, '/echo', 3_000))
  asked.push(ask(listener, '/early', 9_000))
  asked.push(ask(listener, '/upgrade', 700))
  const asking = await Promise.all(asked)
  // The exchanges open at the other end end with the link, if not before.
  listener.close()
  const outcomes = [...asking, ...(await Promise.all(answered))]
  dialler.close()
  return { outcomes, frames, peers: [dialler, listener] }
}

function ask(peer: TunnelPeer, path: string, bytes: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const head: RequestHead = { method: 'POST', path, headers: {} }
    const handlers: ResponseHandlers = {
      onResponse() {},
      onData() {},
      onEnd: () => resolve('complete'),
      onReset: (error) => resolve(error.code),
    }
    peer.request(head, handlers).end(Buffer.alloc(bytes))
  })
}

function answer(exchange: IncomingExchange): Promise<Outcome> {
  return new Promise((resolve) => {
    const { path } = exchange.head
    if (path === '/early') {
      exchange.handlers = { onData() {}, onEnd() {}, onReset() {} }
      exchange.respond({ status: 413, headers: {} })
      exchange.end(Buffer.alloc(2_000))
      resolve('answered early')
      return
    }
    if (path === '/echo') echo(exchange)
    else {
      exchange.respond({ status: 101, headers: {} })
      exchange.handlers = { onData() {}, onEnd: () => exchange.end(Buffer.from('bye')), onReset() {} }
    }
    const { onEnd, ...handlers } = exchange.handlers
    exchange.handlers = {
      ...handlers,
      onEnd() {
        onEnd()
        resolve('complete')
      },
      onReset: (error) => resolve(error.code),
    }
  })
}

describe.each(['at the boundary', 'inside the next frame'] as const)('a link cut %s', (how) => {
  it('fails every open call at once, at both ends and after every single frame, and none hangs', async () => {
    const whole = await runScenario({ afterFrames: Number.POSITIVE_INFINITY, how })
    expect(new Set(whole.outcomes)).toEqual(new Set(['complete', 'answered early']))
    expect(whole.frames).toBeGreaterThan(40)
    for (let afterFrames = 0; afterFrames < whole.frames; afterFrames += 1) {
      const { outcomes, peers } = await runScenario({ afterFrames, how })
      const expected = ['complete', 'answered early', 'LINK_CLOSED', 'PROTOCOL_ERROR']
      for (const outcome of outcomes) expect(expected).toContain(outcome)
      for (const peer of peers) {
        expect(peer.closed).toBe(true)
        expect(peer.openStreams).toBe(0)
        expect(peer.queuedBytes).toBe(0)
      }
    }
  })
})

describe('a tunnel that is over', () => {
  it('refuses new exchanges with LINK_CLOSED and tells its end once', async () => {
    const ends: string[] = []
    const { dialler, listener, links } = await createTunnelPair({
      listener: { onClose: (error) => ends.push(error.code) },
    })
    links[0].terminate()
    await listener.whenClosed
    listener.close()
    expect(ends).toEqual(['LINK_CLOSED'])
    const request = () =>
      listener.request(
        { method: 'GET', path: '/', headers: {} },
        { onResponse() {}, onData() {}, onEnd() {}, onReset() {} },
      )
    expect(request).toThrow(expect.objectContaining({ code: 'LINK_CLOSED' }))
    await dialler.whenClosed
  })
})
