import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { openDuplex, requestBuffered } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FakeDriver } from './testing/fake-driver.ts'
import { createFakeDriver } from './testing/fake-driver.ts'
import type { RunnerLink } from './testing/runner-link.ts'
import { createRunnerLink } from './testing/runner-link.ts'

const LIMITS = { timeoutMs: 60_000, maxResponseBytes: 10_000_000 }
const CONTENT = Buffer.alloc(3_000_000, 'files ')
const SUM = { bytes: CONTENT.length, sha256: createHash('sha256').update(CONTENT).digest('hex') }

let driver: FakeDriver
let link: RunnerLink

beforeEach(async () => {
  driver = createFakeDriver()
  const limits = { cpu: 1, memoryGiB: 1, diskGiB: 1, pids: 100 }
  await driver.create('a', { snapshot: 'host', user: 'daytona', network: 'nat', limits })
  link = await createRunnerLink(driver)
})
afterEach(() => link[Symbol.dispose]())

async function call(method: string, path: string, body?: Buffer | string) {
  const answer = await requestBuffered(link.api, { method, path, ...(body === undefined ? {} : { body }) }, LIMITS)
  return { ...answer, json: () => JSON.parse(answer.body.toString()) }
}

async function restore(): Promise<void> {
  await call('PUT', '/sandboxes/a/incoming?archive=x&from=0', CONTENT)
  await call('POST', '/sandboxes/a/incoming?archive=x', JSON.stringify(SUM))
}

describe('the calls on archives', () => {
  it('carry what is larger than every window both ways', async () => {
    const taken = await call('PUT', '/sandboxes/a/incoming?archive=x&from=0', CONTENT)
    expect([taken.status, taken.json()]).toEqual([200, { bytes: CONTENT.length, unpacked: false }])
    const unpacked = await call('POST', '/sandboxes/a/incoming?archive=x', JSON.stringify(SUM))
    expect([unpacked.status, unpacked.json()]).toEqual([200, { sandboxId: 'a', state: 'stopped' }])
    const staged = await call('PUT', '/sandboxes/a/outgoing?archive=y')
    expect([staged.status, staged.json()]).toEqual([200, { ...SUM, format: 'tar' }])
    const { status, headers, body } = await call('GET', `/sandboxes/a/outgoing?archive=y&from=7&bytes=${SUM.bytes}`)
    expect([status, headers['content-type']]).toEqual([200, 'application/octet-stream'])
    expect(body.equals(CONTENT.subarray(7))).toBe(true)
    expect((await call('DELETE', '/sandboxes/a/outgoing?archive=y')).status).toBe(204)
  })

  it('say which sandbox is unknown, and what is no number', async () => {
    const calls: [string, string, string?][] = [
      ...([
        ['PUT', 'outgoing?archive=y'],
        ['GET', 'outgoing?archive=y&from=0&bytes=1'],
        ['DELETE', 'outgoing?archive=y'],
        ['GET', 'incoming?archive=y'],
        ['PUT', 'incoming?archive=y&from=0'],
        ['POST', 'incoming?archive=y', JSON.stringify(SUM)],
      ] as [string, string, string?][]),
    ]
    for (const [method, path, body] of calls) {
      const answer = await call(method, `/sandboxes/b/${path}`, body)
      expect([answer.status, answer.json().code]).toEqual([404, 'SANDBOX_NOT_FOUND'])
    }
    for (const query of ['from=-1&bytes=1', 'from=0', 'from=0&bytes=1e3']) {
      expect((await call('GET', `/sandboxes/a/outgoing?archive=y&${query}`)).json().code).toBe('BAD_REQUEST')
    }
    const wrong = JSON.stringify({ ...SUM, sha256: 'x' })
    expect((await call('POST', '/sandboxes/a/incoming?archive=y', wrong)).json().code).toBe('VALIDATION_FAILED')
  })

  it('A3: keep what came before an upload was cut off', async () => {
    await restore()
    const { duplex } = openDuplex(link.api, {
      method: 'PUT',
      path: '/sandboxes/a/incoming?archive=z&from=0',
      headers: {},
    })
    duplex.on('error', () => undefined)
    duplex.write('half')
    await expect.poll(async () => (await call('GET', '/sandboxes/a/incoming?archive=z')).json().bytes).toBe(4)
    duplex.destroy(new Error('the link broke'))
    const rest = await call('PUT', '/sandboxes/a/incoming?archive=z&from=4', Buffer.from(' and half'))
    expect(rest.json().bytes).toBe(13)
    expect((await call('PUT', '/sandboxes/a/incoming?archive=z&from=99', Buffer.from('x'))).status).toBe(409)
  })

  it('reset what is read when it fails on its way, so that it does not look whole', async () => {
    driver.archives.read = async () =>
      Readable.from(
        (async function* () {
          yield CONTENT
          throw new Error('planned')
        })(),
      )
    await expect(call('GET', '/sandboxes/a/outgoing?archive=y&from=0&bytes=9')).rejects.toThrow()
  })
})
