import { expect, test } from 'vitest'
import { createTestApi } from '../testing/test-api.ts'
import { version } from '../version.ts'

test('health names the version and the newest migration', async () => {
  await using api = await createTestApi()
  const response = await api.app.inject('/api/health')
  expect(response.statusCode).toBe(200)
  expect(response.json()).toEqual({ status: 'ok', version, lastMigration: expect.stringMatching(/^\d{4}_\w+$/) })
})

test('health is 503 while the database does not answer', async () => {
  await using api = await createTestApi()
  await api.database.close()
  const response = await api.app.inject('/api/health')
  expect(response.json()).toMatchObject({ statusCode: 503, code: 'SERVICE_UNAVAILABLE' })
  expect(response.statusCode).toBe(503)
})
