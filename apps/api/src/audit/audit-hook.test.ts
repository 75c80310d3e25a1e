import { expect, test } from 'vitest'
import { createTestFrame } from '../testing/test-frame.ts'
import { audited } from './audit-hook.ts'

test('lines are in the order of their calls, and have the time of a clock that was set back', async () => {
  const start = Date.parse('2026-01-01T00:00:00Z')
  const hour = 60 * 60 * 1_000
  let clock = start
  const times: number[] = []
  await using frame = await createTestFrame(async (app) => {
    await app.register(audited, { audit: { record: ({ at }) => times.push(at) }, now: () => clock })
    app.post('/volumes', async (request, reply) => {
      if (request.audit !== undefined) request.audit.actorId = 'ada'
      return await reply.send()
    })
  })
  const url = await frame.app.listen({ host: '127.0.0.1', port: 0 })
  for (const elapsedMs of [0, 0, -500, 10, -hour, -hour]) {
    clock = start + elapsedMs
    const response = await fetch(`${url}/volumes`, { method: 'POST' })
    expect(response.status).toBe(200)
  }
  await expect.poll(() => times.length).toBe(6)
  expect(times.map((at) => Number((at - start).toFixed(3)))).toEqual([0, 0.001, 0.002, 10, -hour, -hour + 0.001])
})
