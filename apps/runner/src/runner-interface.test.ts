import { PassThrough } from 'node:stream'
import type { RunnerInfo } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import { createPeer, openDuplex, requestBuffered } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MAX_WAITING_EVENTS } from './event-stream.ts'
import { MAX_BODY_BYTES } from './exchange-router.ts'
import { createRunnerInterface } from './runner-interface.ts'
import type { FakeDriver } from './testing/fake-driver.ts'
import { createFakeDriver } from './testing/fake-driver.ts'

const NOW = Date.UTC(2026, 0, 1)
const SPEC = {
  snapshot: 'host',
  user: 'daytona',
  limits: { cpu: 1, memoryGiB: 1, diskGiB: 3, pids: 512 },
  network: 'none',
}
const INFO: RunnerInfo = {
  ...{ version: '1.2.3', driver: 'fake', runtime: 'map', limitations: [] },
  ...{ cpu: 2, memoryGiB: 8, diskGiB: 100, snapshots: ['host'] },
}

let driver: FakeDriver
let readyCount: number
const onReady = () => {
  readyCount += 1
}
let api: TunnelPeer
let runner: TunnelPeer

beforeEach(async () => {
  driver = createFakeDriver()
  readyCount = 0
  const [apiLink, runnerLink] = createMemoryLinkPair()
  const log = createLogger('test', 'silent')
  const onRequest = createRunnerInterface({ driver, readInfo: async () => INFO, onReady, log, now: () => NOW })
  runner = createPeer(runnerLink, { role: 'dialler', onRequest })
  api = createPeer(apiLink, { role: 'listener' })
  await Promise.all([api.ready, runner.ready])
})
afterEach(async () => {
  api.close()
  await runner.whenClosed
  expect(driver.listeners.size).toBe(0)
})

async function call(method: string, path: string, body?: unknown) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const request = { method, path, ...(text === undefined ? {} : { body: text }) }
  const answer = await requestBuffered(api, request, { timeoutMs: 60_000, maxResponseBytes: 1_000_000 })
  return { status: answer.status, body: answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString()) }
}

describe('the interface of the runner', () => {
  it('tells of the runner', async () => {
    expect(await call('GET', '/info')).toEqual({ status: 200, body: INFO })
  })

  it('learns that it is given work', async () => {
    expect(await call('POST', '/ready')).toEqual({ status: 204, body: undefined })
    expect(readyCount).toBe(1)
  })

  it('takes a sandbox through its life', async () => {
    const status = (state: string) => ({ status: 200, body: { sandboxId: 'a', state } })
    expect(await call('PUT', '/sandboxes/a', SPEC)).toEqual(status('stopped'))
    const start = { toolboxToken: 'a-token-of-sixteen', env: { A: 'b' } }
    expect(await call('POST', '/sandboxes/a/start', start)).toEqual(status('running'))
    expect(await call('GET', '/sandboxes/a')).toEqual(status('running'))
    expect(await call('GET', '/sandboxes?x=1')).toEqual({ status: 200, body: { items: [status('running').body] } })
    expect(await call('POST', '/sandboxes/a/stop', { graceMs: 500 })).toEqual(status('stopped'))
    expect(await call('DELETE', '/sandboxes/a')).toEqual({ status: 204, body: undefined })
    expect(driver.calls).toEqual(['create a', 'start a {"A":"b"}', 'stop a 500', 'remove a'])
  })

  it('makes and starts in one', async () => {
    const launch = { spec: SPEC, start: { toolboxToken: 'a-token-of-sixteen', env: { A: 'b' } } }
    expect(await call('PUT', '/sandboxes/a/launch', launch)).toEqual({
      status: 200,
      body: { sandboxId: 'a', state: 'running' },
    })
    expect(driver.calls).toEqual(['create a', 'start a {"A":"b"}'])
  })

  it('does the calls for one sandbox in the order in which they came, bodies to be read or not', async () => {
    const start = { toolboxToken: 'a-token-of-sixteen', env: {} }
    // All requests arrive in one message.
    await Promise.all([
      call('PUT', '/sandboxes/a', SPEC),
      call('POST', '/sandboxes/a/start', start),
      call('DELETE', '/sandboxes/a'),
    ])
    expect(driver.calls).toEqual(['create a', 'start a {}', 'remove a'])
  })

  it('gives a failure the status and the body of the contract', async () => {
    expect(await call('GET', '/sandboxes/nobody')).toEqual({
      status: 404,
      body: {
        statusCode: 404,
        message: 'there is no sandbox nobody',
        error: 'Not Found',
        code: 'SANDBOX_NOT_FOUND',
        source: 'DAYTONA_API',
        path: '/sandboxes/nobody',
        method: 'GET',
        timestamp: '2026-01-01T00:00:00.000Z',
      },
    })
  })

  it('says nothing of an error nobody foresaw', async () => {
    const { status, body } = await call('DELETE', '/sandboxes/broken')
    expect([status, body.code, body.message]).toEqual([500, 'INTERNAL_SERVER_ERROR', 'the runner failed'])
  })

  it.each([
    { request: ['GET', '/nothing', undefined], status: 404, code: 'NOT_FOUND' },
    { request: ['GET', '/sandboxes/a/b/c', undefined], status: 404, code: 'NOT_FOUND' },
    { request: ['POST', '/info', undefined], status: 405, code: 'METHOD_NOT_ALLOWED' },
    { request: ['GET', '/sandboxes/%E0%A4%A', undefined], status: 400, code: 'BAD_REQUEST' },
    { request: ['PUT', '/sandboxes/a', '{'], status: 400, code: 'INVALID_JSON' },
    { request: ['PUT', '/sandboxes/a', ''], status: 400, code: 'INVALID_JSON' },
    { request: ['PUT', '/sandboxes/a', { ...SPEC, user: 'Root!' }], status: 400, code: 'VALIDATION_FAILED' },
    {
      request: ['PUT', '/sandboxes/a', { ...SPEC, limits: { ...SPEC.limits, cpu: 0 } }],
      status: 400,
      code: 'VALIDATION_FAILED',
    },
    { request: ['PUT', '/sandboxes/a', { ...SPEC, network: 'host' }], status: 400, code: 'VALIDATION_FAILED' },
    { request: ['PUT', '/sandboxes/a/launch', { spec: SPEC }], status: 400, code: 'VALIDATION_FAILED' },
    {
      request: ['POST', '/sandboxes/a/start', { toolboxToken: 'short', env: {} }],
      status: 400,
      code: 'VALIDATION_FAILED',
    },
    { request: ['POST', '/sandboxes/a/stop', { graceMs: -1 }], status: 400, code: 'VALIDATION_FAILED' },
    { request: ['PUT', '/sandboxes/a', 'x'.repeat(MAX_BODY_BYTES + 1)], status: 413, code: 'PAYLOAD_TOO_LARGE' },
  ] as const)('answers $request.0 $request.1 badly asked with $status $code', async ({ request, status, code }) => {
    const [method, path, body] = request
    const answer = await call(method, path, body)
    expect([answer.status, answer.body.code]).toEqual([status, code])
    expect(driver.calls).toEqual([])
  })

  it('names the field that is wrong', async () => {
    const { body } = await call('PUT', '/sandboxes/a', { ...SPEC, limits: { ...SPEC.limits, pids: 'many' } })
    expect(body.message).toContain('/limits/pids')
  })
})

describe('the events of the runner', () => {
  it('begin with a sign of life and tell of every change, until the caller goes away', async () => {
    const { duplex, response } = openDuplex(api, { method: 'GET', path: '/events', headers: {} })
    duplex.end()
    expect((await response).status).toBe(200)
    const lines = readLines(duplex)
    expect(await lines.next()).toEqual({ type: 'alive' })
    const status = { sandboxId: 'a', state: 'stopped' as const, reason: 'exit 1' }
    driver.tell(status)
    expect(await lines.next()).toEqual({ type: 'status', status })
    duplex.on('error', () => undefined).destroy()
    // When this call is answered, the runner has seen the end of the stream.
    await call('GET', '/info')
    expect(driver.listeners.size).toBe(0)
  })

  it('reach a slow listener all, and cut off one that does not read at all', async () => {
    const { duplex, response } = openDuplex(api, { method: 'GET', path: '/events', headers: {} })
    duplex.end()
    await response
    const ended = new Promise((resolve) => duplex.on('error', resolve))
    const reason = 'x'.repeat(10_000)
    for (let index = 0; index < MAX_WAITING_EVENTS + 500; index += 1) {
      driver.tell({ sandboxId: `s${index}`, state: 'stopped', reason })
    }
    expect(driver.listeners.size).toBe(0)
    duplex.resume()
    expect(await ended).toMatchObject({ code: 'CANCELLED' })
  })
})

function readLines(source: NodeJS.ReadableStream): { next(): Promise<unknown> } {
  const stream = source.pipe(new PassThrough({ encoding: 'utf8' }))
  const iterator = splitLines(stream)
  return { next: async () => JSON.parse((await iterator.next()).value ?? 'null') }
}

async function* splitLines(stream: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const text of stream) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}
