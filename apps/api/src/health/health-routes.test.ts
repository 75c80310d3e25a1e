import { expect, test } from 'vitest'
import { createTestApi } from '../testing/test-api.ts'
import { version } from '../version.ts'

test('health names the version and the newest migration', async () => {
  await using api = await createTestApi()
  const response = await api.app.inject('/api/health')
  expect(response.statusCode).toBe(200)
  expect(response.json()).toEqual({ status: 'ok', version, lastMigration: expect.stringMatching(/^\d{4}_\w+$/) })
})

test('readiness tells of the parts', async () => {
  await using api = await createTestApi()
  const parts = { database: { status: 'up' } }
  const response = await api.app.inject('/api/health/ready')
  expect([response.statusCode, response.json()]).toEqual([
    200,
    { status: 'ok', info: parts, error: {}, details: parts },
  ])
})

test.each(['/api/health', '/api/health/ready'])('%s is 503 while the database does not answer', async (url) => {
  await using api = await createTestApi()
  await api.database.close()
  const response = await api.app.inject(url)
  expect(response.json()).toMatchObject({ statusCode: 503, code: 'SERVICE_UNAVAILABLE' })
  expect(response.statusCode).toBe(503)
})
