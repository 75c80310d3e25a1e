import { createLogger } from '@atoll/service'
import type { IncomingExchange } from '@atoll/tunnel'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { expect, test } from 'vitest'
import { createMetrics } from '../http/metrics.ts'
import { createTestFrame } from '../testing/test-frame.ts'
import { until } from '../testing/until.ts'
import { createIdleWatch } from './idle-watch.ts'
import { createPreviewForward } from './preview-forward.ts'

/** Creates a server that passes every request on to one end of an in-memory tunnel, whose other end is `serve`. */
async function open(serve: (exchange: IncomingExchange) => void, answerDeadlineMs?: number) {
  const [near, far] = createMemoryLinkPair()
  createPeer(far, { role: 'dialler', onRequest: serve })
  const peer = createPeer(near, { role: 'listener' })
  await peer.ready
  const clock = { at: 0 }
  const idleWatch = createIdleWatch({ now: () => clock.at })
  const used: string[] = []
  const forward = createPreviewForward({
    ...{ hosts: { isSecure: () => true }, idleWatch, isOwnCredential: () => false },
    activity: { record: (id) => void used.push(id) },
    ...{ log: createLogger('test', 'silent'), metrics: createMetrics(), now: () => clock.at },
    ...(answerDeadlineMs === undefined ? {} : { answerDeadlineMs }),
  })
  const frame = await createTestFrame(async (app) => {
    app.get('/*', (request, reply) => {
      reply.hijack()
      const target = request.raw.url ?? '/'
      forward({ sandboxId: 'one', peer, admission: 'query' }, { request, reply, target, port: 3000 })
    })
  })
  const address = await frame.app.listen({ host: '127.0.0.1', port: 0 })
  const dispose = async () => {
    await frame[Symbol.asyncDispose]()
    peer.close()
    idleWatch[Symbol.dispose]()
  }
  return { address, clock, idleWatch, used, [Symbol.asyncDispose]: dispose }
}

const ignore = { onData: () => undefined, onEnd: () => undefined, onReset: () => undefined }

test('a server that never begins its answer is given up, with a page', async () => {
  await using opened = await open((exchange) => {
    exchange.handlers = ignore
  }, 20)
  const answer = await fetch(opened.address)
  expect([answer.status, await answer.text()]).toEqual([504, expect.stringContaining('No answer came in time')])
})

test('an answer that falls silent is cut off, and one that goes on counts as use', async () => {
  let go: IncomingExchange | undefined
  await using opened = await open((exchange) => {
    exchange.handlers = ignore
    exchange.respond({ status: 200, headers: {} })
    exchange.write(Buffer.from('first'))
    go = exchange
  })
  const answer = await fetch(opened.address)
  const reader = answer.body?.getReader()
  await reader?.read()
  opened.idleWatch.sweep()
  go?.write(Buffer.from('second'))
  await reader?.read()
  opened.clock.at = 299_000
  opened.idleWatch.sweep()
  expect(opened.used.length).toBeGreaterThan(0)
  opened.clock.at = 299_000 + 300_000
  opened.idleWatch.sweep()
  await expect(reader?.read()).rejects.toThrow()
})

test('one sandbox has a bounded number of requests under way, and a page for the next', async () => {
  const held: IncomingExchange[] = []
  await using opened = await open((exchange) => {
    exchange.handlers = ignore
    held.push(exchange)
  })
  const calls = Array.from({ length: 1_024 }, () => fetch(opened.address))
  await until('all are there', () => held.length === 1_024)
  expect((await fetch(opened.address)).status).toBe(503)
  for (const exchange of held.splice(0)) {
    exchange.respond({ status: 204, headers: {} })
    exchange.end()
  }
  await Promise.all(calls)
  const again = fetch(opened.address)
  await until('there is room again', () => held.length === 1)
  held[0]?.respond({ status: 204, headers: {} })
  held[0]?.end()
  expect((await again).status).toBe(204)
})

test('the cookie that keeps a token is for https where previews are', async () => {
  await using opened = await open((exchange) => {
    exchange.respond({ status: 204, headers: {} })
    exchange.handlers = { ...ignore, onEnd: () => exchange.end() }
  })
  const answer = await fetch(`${opened.address}/?DAYTONA_SANDBOX_AUTH_KEY=abc`)
  expect(answer.headers.getSetCookie()).toEqual([
    'daytona-sandbox-auth-one=abc; Path=/; HttpOnly; SameSite=Lax; Secure',
  ])
})
