import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { requestBuffered } from './request-buffered.ts'
import { expectNothingLeft } from './testing/leak-check.ts'
import { createTunnelPair, echo } from './testing/tunnel-pair.ts'

expectNothingLeft()

const EXCHANGES = 10_000
const AT_ONCE = 400

it('ten thousand interleaved exchanges, opened by both ends, each get their own content back', async () => {
  const { dialler, listener } = await createTunnelPair({
    dialler: { onRequest: echo },
    listener: { onRequest: echo },
    link: { pipeBytes: 64 * 1024 },
  })
  const pool = randomBytes(128 * 1024)
  const bounds = { timeoutMs: 50_000, maxResponseBytes: pool.length }
  let next = 0
  const worker = async () => {
    while (next < EXCHANGES) {
      const number = next
      next += 1
      // Most bodies are small; every fiftieth has to wait for credit.
      const length = number % 50 === 0 ? 70_000 + (number % 1_000) : (number * 37) % 3_000
      const body = pool.subarray(number % 1_000, (number % 1_000) + length)
      const peer = number % 3 === 0 ? dialler : listener
      const response = await requestBuffered(peer, { method: 'POST', path: `/${number}`, body }, bounds)
      if (response.headers['x-path'] !== `/${number}` || !response.body.equals(body)) {
        throw new Error(`exchange ${number} got something else back`)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  expect(next).toBe(EXCHANGES)
  expect([dialler.openStreams, listener.openStreams, dialler.queuedBytes, listener.queuedBytes]).toEqual([0, 0, 0, 0])
  listener.close()
  await dialler.whenClosed
})
