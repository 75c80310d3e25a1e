import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { frameTypes } from './frame.ts'
import { encodeHello, helloFor } from './handshake.ts'
import { resolveLimits } from './limits.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import { helloFrame, rawFrame, startRawEnd } from './testing/raw-end.ts'
import { createTunnelPair, echo, turn } from './testing/tunnel-pair.ts'
import type { ResponseHandlers } from './types.ts'

expectNothingLeft()

const quiet: ResponseHandlers = { onResponse() {}, onData() {}, onEnd() {}, onReset() {} }

/** The id of an exchange that a dialler opens in a slot taken for the first time. */
const dialled = (slot: number) => (1 << 15) | (slot << 1)
const request = (slot: number) => rawFrame(frameTypes.request, dialled(slot), { payload: 'POST\n/' })
const own = (1 << 15) | 1

describe('a peer that breaks the protocol loses its link with PROTOCOL_ERROR', () => {
  const hello = encodeHello(helloFor(resolveLimits()))
  const badHello = (change: (payload: Buffer) => void) => {
    const payload = Buffer.from(hello)
    change(payload)
    return rawFrame(frameTypes.hello, 0, { payload })
  }

  it.each<[string, Buffer]>([
    ['anything before the HELLO', request(0)],
    ['a ping before the HELLO', rawFrame(frameTypes.ping, 0, { payload: Buffer.alloc(8) })],
    ['an empty message', Buffer.alloc(0)],
    ['a short HELLO', rawFrame(frameTypes.hello, 0, { payload: 'ATLN' })],
    ['another magic', badHello((payload) => payload.write('HTTP', 0))],
    ['a HELLO that allows no exchange', badHello((payload) => payload.writeUInt32BE(0, 12))],
  ])('%s, where a HELLO belongs', async (_name, message) => {
    const raw = startRawEnd({ greet: false })
    raw.send(message)
    expect((await raw.closed).code).toBe('PROTOCOL_ERROR')
    expect(await raw.closeCode).toBe(4000)
    await expect(raw.peer.ready).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' })
  })

  it.each<[string, Buffer[]]>([
    ['a second HELLO', [helloFrame()]],
    ['a cut frame header', [rawFrame(frameTypes.ping, 0, { payload: Buffer.alloc(8) }).subarray(0, 5)]],
    ['a cut frame', [rawFrame(frameTypes.ping, 0, { payload: Buffer.alloc(8) }).subarray(0, 12)]],
    ['an unknown frame of the link', [rawFrame(77, 0)]],
    ['a ping of the wrong size', [rawFrame(frameTypes.ping, 0, { payload: 'x' })]],
    ['a pong of the wrong size', [rawFrame(frameTypes.pong, 0, { payload: 'x' })]],
    ['an unknown frame of an exchange', [request(0), rawFrame(77, dialled(0))]],
    ['data of an exchange never opened', [rawFrame(frameTypes.data, dialled(9), { payload: 'x' })]],
    ['a request with an id of the other end', [rawFrame(frameTypes.request, own, { payload: 'GET\n/' })]],
    ['a request on a slot that is taken', [request(0), request(0)]],
    ['a request beyond the agreed number', [request(4096)]],
    ['data after the end', [rawFrame(frameTypes.request, dialled(0), { payload: 'GET\n/', end: true }), data('x')]],
    ['empty data', [request(0), data('')]],
    ['more data than credit', [request(0), ...Array.from({ length: 5 }, () => data('x'.repeat(16_000)))]],
    ['a credit of nothing', [request(0), rawFrame(frameTypes.window, dialled(0), { payload: '\0\0\0\0' })]],
    ['a credit of the wrong size', [request(0), rawFrame(frameTypes.window, dialled(0), { payload: '\0\0\0' })]],
    ['a credit beyond all windows', [request(0), credit(0x7fff_ffff), credit(0x7fff_ffff)]],
    ['a reset without a code', [request(0), rawFrame(frameTypes.reset, dialled(0))]],
    ['a response to its own request', [request(0), rawFrame(frameTypes.response, dialled(0), { payload: '200' })]],
    ['a request without a path', [rawFrame(frameTypes.request, dialled(0), { payload: 'GET' })]],
    ['a request with half a header', [rawFrame(frameTypes.request, dialled(0), { payload: 'GET\n/\nname' })]],
    ['a header name in capitals', [rawFrame(frameTypes.request, dialled(0), { payload: 'GET\n/\nName\nv' })]],
    ['a carriage return in a head', [rawFrame(frameTypes.request, dialled(0), { payload: 'GET\n/\nname\nv\rx' })]],
    ['a head over its bound', [rawFrame(frameTypes.request, dialled(0), { payload: `GET\n/${'x'.repeat(33_000)}` })]],
  ])('%s', async (_name, frames) => {
    const raw = startRawEnd({
      onRequest(exchange) {
        exchange.handlers = quiet
        exchange.pause()
      },
    })
    raw.send(...frames)
    expect((await raw.closed).code).toBe('PROTOCOL_ERROR')
    expect(await raw.closeCode).toBe(4000)
    expect(raw.peer.openStreams).toBe(0)
  })

  it.each<[string, Buffer[]]>([
    ['data before the response', [rawFrame(frameTypes.data, own, { payload: 'x' })]],
    ['two responses', [response('200'), response('200')]],
    ['a response without a status', [response('')]],
    ['a status that is none', [response('999')]],
    ['data of a slot never used', [rawFrame(frameTypes.data, own + 2, { payload: 'x' })]],
  ])('%s, as the answer to a request', async (_name, frames) => {
    const raw = startRawEnd()
    await raw.peer.ready
    const reset = new Promise((resolve) => raw.peer.request(get, { ...quiet, onReset: resolve }))
    raw.send(...frames)
    expect((await raw.closed).code).toBe('PROTOCOL_ERROR')
    expect(await reset).toMatchObject({ code: 'PROTOCOL_ERROR' })
  })

  it('but late frames of an exchange that is over are dropped', async () => {
    const raw = startRawEnd()
    await raw.peer.ready
    raw.peer.request(get, quiet).reset()
    raw.peer.request(get, quiet)
    await turn()
    raw.send(rawFrame(frameTypes.request, dialled(3), { payload: 'GET\n/' }))
    await expect.poll(() => raw.seen.some((frame) => frame.exchangeId === dialled(3))).toBe(true)
    raw.send(
      rawFrame(frameTypes.data, dialled(3), { payload: 'late' }),
      credit(9),
      rawFrame(frameTypes.stop, dialled(3)),
    )
    await turn()
    await turn()
    expect(raw.peer.closed).toBe(false)
    raw.peer.close()
  })
})

const get = { method: 'GET', path: '/', headers: {} }

function data(payload: string): Buffer {
  return rawFrame(frameTypes.data, dialled(0), { payload })
}

function credit(bytes: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(bytes)
  return rawFrame(frameTypes.window, dialled(0), { payload })
}

function response(payload: string): Buffer {
  return rawFrame(frameTypes.response, own, { payload })
}

describe('whatever arrives', () => {
  const frame = fc
    .record({
      type: fc.integer({ min: 0, max: 12 }),
      id: fc.oneof(fc.constant(0), fc.constantFrom(own, own + 2, dialled(0), dialled(1), dialled(4000)), fc.nat()),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom('GET\n/', '200', '200\nname\nvalue', 'POST\n/\nx\ny').map((text) => Buffer.from(text)),
      ),
      end: fc.boolean(),
    })
    .map(({ type, id, payload, end }) => rawFrame(type, id, { payload, end }))
  const message = fc.oneof(
    { weight: 4, arbitrary: fc.array(frame, { minLength: 1, maxLength: 6 }).map((frames) => Buffer.concat(frames)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  )

  it('a peer never throws, keeps what it holds within bounds, and ends only with PROTOCOL_ERROR', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 12 }), async (messages) => {
        const raw = startRawEnd({ onRequest: echo, limits: { maxStreams: 64 } })
        await raw.peer.ready
        const ends: string[] = []
        const note = (error: Error & { code: string }) => ends.push(error.code)
        raw.peer.request(get, { ...quiet, onReset: note })
        raw.peer.request(get, { ...quiet, onReset: note }).end()
        for (const bytes of messages) raw.send(bytes)
        await turn()
        await turn()
        expect(raw.peer.openStreams).toBeLessThanOrEqual(128)
        expect(raw.peer.queuedBytes).toBeLessThanOrEqual(64 * 64 * 1024)
        if (raw.peer.closed) expect((await raw.closed).code).toBe('PROTOCOL_ERROR')
        raw.peer.close()
        expect(raw.peer.openStreams).toBe(0)
        expect(ends.length).toBeLessThanOrEqual(2)
      }),
      { numRuns: 300 },
    )
  })

  it('a flipped byte on the way never crashes either end nor leaves a call hanging', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(400), fc.integer({ min: 1, max: 255 }), async (position, flip) => {
        let seen = 0
        const { dialler, listener } = await createTunnelPair({
          dialler: { onRequest: echo },
          link: {
            tamper(bytes) {
              const at = position - seen
              seen += bytes.length
              const changed = Buffer.from(bytes)
              if (at >= 0 && at < bytes.length) changed[at] = (changed[at] ?? 0) ^ flip
              return changed
            },
          },
        }).catch(() => ({ dialler: undefined, listener: undefined }))
        if (listener === undefined || dialler === undefined) return
        const over = new Promise<string>((resolve) => {
          const handlers = { ...quiet, onEnd: () => resolve('ended'), onReset: () => resolve('reset') }
          listener.request({ ...get, headers: { 'x-name': 'value' } }, handlers).end(Buffer.from('some content'))
        })
        // A byte of the content, of a length or of an id may be lost without breaking a rule: an exchange that waits for
        // it ends with the link.
        for (let turns = 0; turns < 8; turns += 1) await turn()
        listener.close()
        expect(['ended', 'reset']).toContain(await over)
        dialler.close()
        expect(dialler.openStreams + listener.openStreams).toBe(0)
      }),
      { numRuns: 300 },
    )
  })
})
