import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { createApiClient } from './api-client.ts'
import { createTally } from './tally.ts'

it('finds an error that nobody thought of, and any failure in the calm', async () => {
  let code = 'INTERNAL_SERVER_ERROR'
  const server = createServer((_, response) => response.writeHead(500).end(JSON.stringify({ code, message: 'words' })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const tally = createTally()
  let isCalm = false
  const client = createApiClient({ url: () => url, apiKey: 'any', tally, slackMs: 60_000, isCalm: () => isCalm })
  await client.call('GET', '/one', { operation: 'look', promised: 'quick' })
  code = 'SERVICE_UNAVAILABLE'
  await client.call('GET', '/two', { operation: 'look', promised: 'quick' })
  isCalm = true
  await client.call('GET', '/three', { operation: 'look', promised: 'quick' })
  server.close()
  expect(tally.problems).toEqual([
    'an error that nobody thought of: look (GET /one): 500 INTERNAL_SERVER_ERROR: words',
    'failed in the calm: look (GET /three): 500 SERVICE_UNAVAILABLE: words',
  ])
})
