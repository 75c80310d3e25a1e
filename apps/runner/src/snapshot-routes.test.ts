import { openDuplex, requestBuffered } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FakeDriver } from './testing/fake-driver.ts'
import { createFakeDriver } from './testing/fake-driver.ts'
import type { RunnerLink } from './testing/runner-link.ts'
import { createRunnerLink } from './testing/runner-link.ts'

const LIMITS = { timeoutMs: 60_000, maxResponseBytes: 1_000_000 }

let driver: FakeDriver
let link: RunnerLink

beforeEach(async () => {
  driver = createFakeDriver()
  link = await createRunnerLink(driver)
})
afterEach(() => link[Symbol.dispose]())

async function call(method: string, path: string, body?: string | Buffer) {
  const answer = await requestBuffered(link.api, { method, path, ...(body === undefined ? {} : { body }) }, LIMITS)
  const text = answer.body.toString()
  return { status: answer.status, text, json: text.startsWith('{') ? JSON.parse(text) : undefined }
}

const make = (ref: string, source: object) => call('PUT', `/snapshots/${ref}`, JSON.stringify({ source }))

describe('the calls on snapshots', () => {
  it('make, list, describe and delete', async () => {
    expect((await make('a.1', { kind: 'archive' })).json).toMatchObject({ ref: 'a.1', needsContent: true })
    const { items } = (await call('GET', '/snapshots')).json
    expect(items.map(({ ref }: { ref: string }) => ref)).toEqual(['host', 'a.1'])
    expect((await call('GET', '/snapshots/a.1')).json).toMatchObject({ kind: 'archive' })
    expect((await call('DELETE', '/snapshots/a.1')).status).toBe(204)
    expect(await call('GET', '/snapshots/a.1')).toMatchObject({ status: 400, json: { code: 'SNAPSHOT_NOT_FOUND' } })
  })

  it('take content of any length, larger than every window', async () => {
    await make('a', { kind: 'archive' })
    const content = Buffer.alloc(3_000_000, 'content ')
    const { duplex, response } = openDuplex(link.api, { method: 'PUT', path: '/snapshots/a/content', headers: {} })
    duplex.resume()
    duplex.end(content)
    expect((await response).status).toBe(200)
    expect(driver.snapshots.contents.get('a')).toBe(content.toString())
  })

  it('answer content that nobody waits for without reading it', async () => {
    await make('a', { kind: 'sandbox', sandboxId: 's' })
    expect((await call('PUT', '/snapshots/a/content', Buffer.alloc(3_000_000))).json).toMatchObject({ ref: 'a' })
    expect(driver.snapshots.contents.size).toBe(0)
  })

  it('stream the log from where it is asked to, and an export', async () => {
    await make('a', { kind: 'archive' })
    expect((await call('GET', '/snapshots/a/log?follow=true&from=12')).text).toBe('a from 12 followed')
    expect((await call('GET', '/snapshots/a/log')).text).toBe('a from 0')
    expect((await call('GET', '/snapshots/a/log?from=x')).status).toBe(400)
    expect((await call('GET', '/snapshots/a/export')).text).toBe('export of a')
    expect((await call('GET', '/snapshots/b/export')).json).toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
  })

  it('say what is wrong with a source', async () => {
    for (const source of [
      {},
      { kind: 'other' },
      { kind: 'directory', path: 'etc' },
      { kind: 'image', reference: '-x' },
    ]) {
      expect((await make('a', source)).json).toMatchObject({ code: 'VALIDATION_FAILED' })
    }
  })

  it('tell of changes among the events', async () => {
    const { duplex, response } = openDuplex(link.api, { method: 'GET', path: '/events', headers: {} })
    duplex.end()
    await response
    await make('a', { kind: 'archive' })
    let text = ''
    for await (const chunk of duplex) {
      text += chunk
      if (text.includes('"snapshot"')) break
    }
    expect(text).toContain('"type":"snapshot","snapshot":{"ref":"a","state":"pending"')
  })
})
