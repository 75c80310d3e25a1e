import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import type { Sandbox } from '@daytonaio/sdk'
import { Daytona } from '@daytonaio/sdk'
import { DaytonaNotFoundError } from '@daytonaio/sdk/src/errors/DaytonaError'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, sdk23, sharedSystem } from './testing/shared-system.ts'

let sandbox: Sandbox

beforeAll(async () => {
  sandbox = await sdk23().create()
})
// The sandbox is deleted already, unless a test failed before.
afterAll(() => sandbox?.delete())

describe('errors as the official SDK shows them', () => {
  it.each(['dtn_0000', 'not a key', `dtn_${'0'.repeat(64)}`])(
    'a key that nobody has is refused: %s',
    async (apiKey) => {
      const stranger = new Daytona({ apiKey, apiUrl: `${sharedSystem().url}/api`, target: 'us' })
      await expect(stranger.list()).rejects.toThrow(/API key|Unauthorized/i)
      await expect(stranger.create()).rejects.toThrow(/API key|Unauthorized/i)
    },
  )

  it.each([randomUUID(), 'no-uuid', '..%2f'])('a sandbox that is not there is not found: %s', async (id) => {
    await expect(sdk23().get(id)).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })

  it('a file that is not there is not found, with its path in the message', async () => {
    await expect(sandbox.fs.downloadFile('missing.txt')).rejects.toThrow()
    await expect(sandbox.fs.getFileDetails('missing.txt')).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })

  it('a snapshot that is not there is named', async () => {
    await expect(sdk23().create({ snapshot: 'no-such-snapshot' })).rejects.toThrow('no-such-snapshot')
  })

  it('resources cannot be given with a snapshot', async () => {
    const answer = await create({ cpu: 4 })
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ message: 'Cannot specify Sandbox resources when using a snapshot' })
  })

  it('a stopped sandbox runs nothing, and says so', async () => {
    await sandbox.stop()
    await expect(sandbox.process.executeCommand('true')).rejects.toThrow('Sandbox is not running')
    await expect(sandbox.fs.listFiles('.')).rejects.toThrow('Sandbox is not running')
  })

  it('a deleted sandbox stays readable and does nothing more', async () => {
    await sandbox.delete()
    expect(['destroying', 'destroyed']).toContain((await sdk23().get(sandbox.id)).state)
    await expect(sandbox.process.executeCommand('true')).rejects.toThrow()
    await expect(sandbox.start()).rejects.toThrow()
  })
})

describe('errors on the wire', () => {
  it.each([
    ['no JSON', '{', 400],
    ['a wrong type', '{"labels": 3}', 400],
  ])('a body with %s', async (_, body, status) => {
    const answer = await call('/sandbox', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({ statusCode: status, message: expect.any(String), path: '/api/sandbox' })
  })

  it('a body too large for any sandbox is refused before it is sent', async () => {
    const headers = { authorization: `Bearer ${sharedSystem().apiKey}`, 'content-length': String(50 * 1024 * 1024) }
    const upload = request(`${sharedSystem().url}/api/sandbox`, { method: 'POST', headers })
    upload.flushHeaders()
    const [answer] = (await once(upload, 'response')) as [IncomingMessage]
    expect(answer.statusCode).toBe(413)
    upload.destroy()
  })

  it('fields that the contract does not know are no error', async () => {
    const answer = await create({ snapshot: 'no-such-snapshot', unheardOf: { deep: true } })
    expect(await answer.json()).toMatchObject({ message: expect.stringContaining('no-such-snapshot') })
  })

  it('a path that is not there answers in the same form', async () => {
    const answer = await call('/no/such/path')
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ statusCode: 404, error: 'Not Found', method: 'GET' })
  })
})

function create(body: object): Promise<Response> {
  return call('/sandbox', {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  })
}
