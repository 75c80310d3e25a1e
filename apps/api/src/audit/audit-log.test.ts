import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { expect, test } from 'vitest'
import { createMetrics } from '../http/metrics.ts'
import { auditActionOf } from './audit-actions.ts'
import { createAuditLog } from './audit-log.ts'
import type { AuditEntry } from './audit-store.ts'

const log = createLogger('test', 'silent')

test('lines are written many at once, in order, and all of them before it closes', async () => {
  const writes: number[] = []
  const ids: string[] = []
  const audit = auditTo(async (entries) => {
    writes.push(entries.length)
    ids.push(...entries.map(({ requestId }) => requestId))
  })
  for (let line = 0; line < 1_200; line += 1) audit.record(entry(String(line)))
  expect(writes).toEqual([])
  await audit.close()
  expect(writes).toEqual([500, 500, 200])
  expect(ids).toEqual(Array.from({ length: 1_200 }, (_, line) => String(line)))
  audit.record(entry('late'))
  await audit.close()
  expect(writes).toHaveLength(3)
})

test('lines that could not be written are written later', async () => {
  let fails = true
  const written: string[] = []
  const audit = auditTo(async (entries) => {
    if (fails) throw new Error('the database is away')
    written.push(...entries.map(({ requestId }) => requestId))
  })
  audit.record(entry('a'))
  await audit.flush()
  expect(written).toEqual([])
  fails = false
  audit.record(entry('b'))
  await audit.flush()
  expect(written).toEqual(['a', 'b'])
  await audit.close()
})

test('no line is lost while the database is away, however long that takes', async () => {
  let isAway = true
  const written: string[] = []
  const audit = auditTo(async (entries) => {
    if (isAway) throw failedQuery('ECONNREFUSED')
    written.push(...entries.map(({ requestId }) => requestId))
  })
  audit.record(entry('a'))
  for (let tries = 0; tries < 200; tries += 1) await audit.flush()
  isAway = false
  await audit.close()
  expect(written).toEqual(['a'])
})

test('lines that can never be written do not keep the others from being written', async () => {
  const written: string[] = []
  const audit = auditTo(async (entries) => {
    if (entries.some(({ requestId }) => requestId === 'bad')) throw failedQuery('22021')
    written.push(...entries.map(({ requestId }) => requestId))
  })
  audit.record(entry('bad'))
  for (let tries = 0; tries < 60; tries += 1) await audit.flush()
  audit.record(entry('good'))
  await audit.close()
  expect(written).toEqual(['good'])
})

test('what is held is bounded', async () => {
  let written = 0
  const audit = auditTo(async (entries) => {
    written += entries.length
  })
  for (let line = 0; line < 30_000; line += 1) audit.record(entry(String(line)))
  await audit.close()
  expect(written).toBe(20_000)
})

test('a changing route that has no name for what it does is refused', () => {
  expect(auditActionOf('POST', '/sandbox/:sandboxId/start')).toEqual({ action: 'start', targetType: 'sandbox' })
  expect(auditActionOf('GET', '/anything')).toBeUndefined()
  expect(() => auditActionOf('POST', '/anything/:id')).toThrow('POST /anything/: changes something')
})

function auditTo(insert: (entries: readonly AuditEntry[]) => Promise<void>) {
  return createAuditLog({ store: { insert }, log, metrics: createMetrics() })
}

/** The error of a query that failed with this code. */
function failedQuery(code: string): Error {
  return new Error('Failed query', { cause: Object.assign(new Error('no'), { code }) })
}

function entry(requestId: string): AuditEntry {
  const nothing = { organizationId: null, apiKeyId: null, targetId: null, errorMessage: null, source: null }
  return {
    ...{ ...nothing, ipAddress: null, userAgent: null, id: randomUUID(), actorId: 'ada' },
    ...{ action: 'create', targetType: 'sandbox', statusCode: 200, requestId, at: 0 },
  }
}
