import { requestBuffered } from '@atoll/tunnel'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { FakeDriver } from './testing/fake-driver.ts'
import { createFakeDriver } from './testing/fake-driver.ts'
import type { RunnerLink } from './testing/runner-link.ts'
import { createRunnerLink } from './testing/runner-link.ts'

const LIMITS = { timeoutMs: 60_000, maxResponseBytes: 1_000_000 }
const SPEC = {
  ...{ snapshot: 'host', user: 'daytona', network: 'nat' },
  limits: { cpu: 1, memoryGiB: 1, diskGiB: 3, pids: 512 },
  networkRules: { blockAll: false, allowList: ['10.0.0.0/8'] },
  volumes: [{ volumeId: 'v', mountPath: '/v' }],
  entrypoint: [],
}

let driver: FakeDriver
let link: RunnerLink

beforeEach(async () => {
  driver = createFakeDriver()
  link = await createRunnerLink(driver)
})
afterEach(() => link[Symbol.dispose]())

async function call(method: string, path: string, body?: object) {
  const request = { method, path, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const answer = await requestBuffered(link.api, request, LIMITS)
  return { status: answer.status, body: answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString()) }
}

it('a sandbox is resized and gets other network rules', async () => {
  expect((await call('PUT', '/sandboxes/a', SPEC)).status).toBe(200)
  expect((await call('POST', '/sandboxes/a/resize', { cpu: 2, other: 1 })).status).toBe(200)
  expect((await call('PUT', '/sandboxes/a/network', { blockAll: true })).status).toBe(200)
  expect(driver.calls).toEqual(['create a', 'resize a {"cpu":2}', 'network a {"blockAll":true}'])
})

it('what is out of bounds is refused', async () => {
  const refused = { status: 400, body: { code: 'VALIDATION_FAILED' } }
  expect(await call('POST', '/sandboxes/a/resize', { cpu: 0 })).toMatchObject(refused)
  const many = Array.from({ length: 11 }, () => '1.2.3.4')
  expect(await call('PUT', '/sandboxes/a/network', { blockAll: false, allowList: many })).toMatchObject(refused)
  expect(await call('PUT', '/sandboxes/a/network', { blockAll: false, allowList: ['::1/8'] })).toMatchObject(refused)
  expect(
    await call('PUT', '/sandboxes/a', { ...SPEC, volumes: [{ volumeId: '../x', mountPath: '/v' }] }),
  ).toMatchObject(refused)
})

it('volumes are made, described, listed and removed', async () => {
  expect((await call('PUT', '/volumes/v', { sizeGiB: 1 })).body).toEqual({ volumeId: 'v', sizeGiB: 1, usedGiB: 0 })
  expect((await call('GET', '/volumes/v')).body).toMatchObject({ volumeId: 'v' })
  expect((await call('GET', '/volumes')).body).toMatchObject({ items: [{ volumeId: 'v' }] })
  expect((await call('DELETE', '/volumes/v')).status).toBe(204)
  expect(await call('GET', '/volumes/v')).toMatchObject({ status: 404, body: { code: 'VOLUME_NOT_FOUND' } })
})
