import { createLogger } from '@atoll/service'
import { requestBuffered } from '@atoll/tunnel'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { ControlLink } from './control-link.ts'
import { openControlLink } from './control-link.ts'
import type { FakeApi } from './testing/fake-api.ts'
import { startFakeApi } from './testing/fake-api.ts'

const TOKEN = 'runner-token-of-a-test'
const log = createLogger('test', 'silent')
const LIMITS = { timeoutMs: 60_000, maxResponseBytes: 1_000 }

let api: FakeApi
let link: ControlLink | undefined
beforeEach(async () => {
  api = await startFakeApi(TOKEN)
})
afterEach(async () => {
  await link?.[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})

function open(token: string): ControlLink {
  link = openControlLink({
    controlUrl: api.url,
    token,
    log,
    onRequest: (exchange) => {
      exchange.respond({ status: 200, headers: {} })
      exchange.end(Buffer.from(exchange.head.path))
    },
  })
  return link
}

it('the runner answers the API over the tunnel that it dialled', async () => {
  const runner = api.nextRunner()
  await open(TOKEN).connected
  const answer = await requestBuffered(await runner, { method: 'GET', path: '/info' }, LIMITS)
  expect(answer.body.toString()).toBe('/info')
})

it('a link that is cut is dialled again', async () => {
  const first = api.nextRunner()
  await open(TOKEN).connected
  const second = api.nextRunner()
  ;(await first).close()
  const answer = await requestBuffered(await second, { method: 'GET', path: '/again' }, LIMITS)
  expect(answer.body.toString()).toBe('/again')
})

it('a token that the API does not know is said in one line that names the API', async () => {
  await expect(open('another-token').connected).rejects.toThrow(
    `the API at ${api.url} does not know this runner's token`,
  )
})
