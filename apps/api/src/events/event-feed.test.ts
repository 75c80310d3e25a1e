import { createLogger } from '@atoll/service'
import { expect, test } from 'vitest'
import type { Subscription } from '../database/listener.ts'
import { until } from '../testing/until.ts'
import type { ResourceReader } from './event-feed.ts'
import { createEventFeed } from './event-feed.ts'

function open(reader: ResourceReader) {
  const subscriptions: Subscription[] = []
  const told: string[] = []
  const feed = createEventFeed({
    listener: { subscribe: (_channel, subscription) => void subscriptions.push(subscription) },
    readers: { sandbox: reader, snapshot: reader, volume: reader },
    isHeard: (organizationId) => organizationId === 'heard',
    deliver: ({ id }, resource) => void told.push(`${id} ${Object.keys(resource)}`),
    log: createLogger('test', 'silent'),
  })
  const notify = (payload: unknown) => {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
    for (const { onNotify } of subscriptions) onNotify(text)
  }
  return { feed, notify, told }
}

const event = { kind: 'sandbox', organizationId: 'heard', id: '1', from: null, to: 'creating' }

test('what nobody listens to is not read, and what is no event is passed over', async () => {
  const reads: (readonly string[])[] = []
  const { feed, notify, told } = open(async (ids) => {
    reads.push(ids)
    return new Map()
  })
  await using _ = feed
  for (const other of ['', '{', '{}', { ...event, kind: 'x' }, { ...event, organizationId: 'other' }]) notify(other)
  notify(event)
  await until('one is told', () => told.length === 1)
  expect([reads, told]).toEqual([[['1']], ['1 id']])
})

test('what comes while others are read is read at once afterwards, in order, and a failed read loses its batch only', async () => {
  let fail: () => void = () => undefined
  let reads = 0
  const { feed, notify, told } = open(async (ids) => {
    reads += 1
    if (reads === 1) {
      await new Promise<void>((_resolve, reject) => {
        fail = () => reject(new Error('the database is away'))
      })
    }
    return new Map(ids.map((id) => [id, { id, state: 'x' }]))
  })
  await using _ = feed
  notify(event)
  await until('the first is read', () => reads === 1)
  notify({ ...event, id: '2' })
  notify({ ...event, id: '3' })
  notify({ ...event, id: '2' })
  fail()
  await until('the rest is told', () => told.length === 3)
  expect([reads, told]).toEqual([2, ['2 id,state', '3 id,state', '2 id,state']])
})

test('a flood leaves the newest', async () => {
  let reads = 0
  const { feed, notify, told } = open(async (ids) => {
    reads += 1
    return new Map(ids.map((id) => [id, { id }]))
  })
  await using _ = feed
  for (let at = 0; at < 25_000; at++) notify({ ...event, id: String(at) })
  await until('all that is left is told', () => told.at(-1) === '24999 id')
  expect(told.length).toBeLessThanOrEqual(10_000)
  expect(reads).toBeLessThanOrEqual(20)
})
