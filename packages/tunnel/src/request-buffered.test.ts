import { describe, expect, it } from 'vitest'
import { requestBuffered } from './request-buffered.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import { createTunnelPair, echo } from './testing/tunnel-pair.ts'
import type { IncomingExchange } from './types.ts'

expectNothingLeft()

const bounds = { timeoutMs: 50_000, maxResponseBytes: 1_000 }
const post = { method: 'POST', path: '/', body: 'x'.repeat(2_000) }

describe('a buffered call', () => {
  it('over its size ends with BODY_TOO_LARGE and is reset at the other end', async () => {
    const resets: string[] = []
    const { dialler, listener } = await createTunnelPair({
      dialler: {
        onRequest(exchange) {
          exchange.respond({ status: 200, headers: {} })
          exchange.handlers = {
            onData: (chunk) => exchange.write(Buffer.from(chunk)),
            onEnd() {},
            onReset: (error) => resets.push(error.code),
          }
        },
      },
    })
    await expect(requestBuffered(listener, post, bounds)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    await expect.poll(() => resets).toEqual(['BODY_TOO_LARGE'])
    expect(dialler.openStreams).toBe(0)
    listener.close()
    await dialler.whenClosed
  })

  it('past its deadline ends with DEADLINE_EXCEEDED, and with CANCELLED by its signal', async () => {
    const silent = (exchange: IncomingExchange) =>
      Object.assign(exchange, { handlers: { onData() {}, onEnd() {}, onReset() {} } })
    const { dialler, listener } = await createTunnelPair({ dialler: { onRequest: silent } })
    await expect(requestBuffered(listener, post, { ...bounds, timeoutMs: 1 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    })
    const controller = new AbortController()
    const call = requestBuffered(listener, post, { ...bounds, signal: controller.signal })
    controller.abort()
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect(requestBuffered(listener, post, { ...bounds, signal: controller.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    })
    await expect.poll(() => dialler.openStreams).toBe(0)
    listener.close()
    await dialler.whenClosed
  })

  it('on a tunnel that is over ends with LINK_CLOSED', async () => {
    const { dialler, listener } = await createTunnelPair({ dialler: { onRequest: echo } })
    listener.close()
    await expect(requestBuffered(listener, post, bounds)).rejects.toMatchObject({ code: 'LINK_CLOSED' })
    await dialler.whenClosed
  })
})
