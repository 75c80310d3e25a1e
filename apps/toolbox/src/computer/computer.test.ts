import type { Operation } from '@atoll/protocol'
import { computerOperations } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeAll(async () => {
  toolbox = await createTestToolbox()
})
afterAll(() => toolbox[Symbol.asyncDispose]())

const operations = Object.values<Operation>(computerOperations).map(({ method, path }) => ({
  method,
  path: path.replace(/\{\w+\}/g, 'one'),
}))

describe('computer use', () => {
  it.each(operations)('$method $path is not available, and says why and what to do', async ({ method, path }) => {
    const answer = await toolbox.call(method, path)
    expect(answer.status).toBe(503)
    expect(bodyOf(answer)).toMatchObject({
      statusCode: 503,
      code: 'COMPUTER_USE_UNAVAILABLE',
      source: 'DAYTONA_DAEMON',
      message: 'Computer-use functionality is not available',
      details: expect.stringContaining('yet'),
      solution: expect.stringContaining('/proxy/{port}/'),
    })
  })

  it('does not read what is sent with it', async () => {
    const answer = await toolbox.call('POST', '/computeruse/mouse/click', { json: { x: 'no number' } })
    expect(answer.status).toBe(503)
  })

  it('has no other paths', async () => {
    expect((await toolbox.call('GET', '/computeruse/other')).status).toBe(404)
    expect((await toolbox.call('GET', '/computeruse/start')).status).toBe(405)
  })
})
