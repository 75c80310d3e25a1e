import type { RunnerEvent, RunnerInfo } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import type { IncomingExchange } from '@atoll/tunnel'
import { createPeer } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { expect, it } from 'vitest'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import { runSession } from './runner-session.ts'
import { createRunnerStore } from './runner-store.ts'

const INFO: RunnerInfo = {
  ...{ version: '0.0.0', driver: 'scripted', runtime: 'none', limitations: [] },
  ...{ cpu: 1, memoryGiB: 1, diskGiB: 1, snapshots: [] },
}
const ENDED: RunnerEvent = { type: 'status', status: { sandboxId: 'a', state: 'stopped' } }

/** Answers as a runner without sandboxes, whose events are these. */
function answer(exchange: IncomingExchange, events: readonly RunnerEvent[]): void {
  exchange.handlers = { onData() {}, onEnd() {}, onReset() {} }
  exchange.respond({ status: 200, headers: {} })
  const { path } = exchange.head
  if (path === '/events') exchange.write(Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join('')))
  else exchange.end(Buffer.from(JSON.stringify(path === '/info' ? INFO : { items: [] })))
}

it('L1: a runner is heard of while its signs of life wait behind other events', async () => {
  await using database = await createTestDatabase()
  const store = createRunnerStore(database)
  const id = await store.ensure({ name: 'r', tokenHash: 'a'.repeat(64), region: 'us' })
  const [near, far] = createMemoryLinkPair()
  const runner = createPeer(far, {
    role: 'dialler',
    onRequest: (exchange) => answer(exchange, [ENDED, ENDED, ENDED, ENDED]),
  })
  const peer = createPeer(near, { role: 'listener' })
  await peer.ready
  const start = Date.parse('2026-01-01T00:00:00Z')
  let clock = start
  let changes = 0
  const session = runSession({
    runner: { id, name: 'r' },
    ...{ peer, store, log: createLogger('test', 'silent'), now: () => clock, onReady: () => undefined },
    observer: {
      compare: async () => undefined,
      confirm: async () => undefined,
      async changed() {
        changes += 1
        clock += 20_000
      },
    },
  })
  await until('all events are handled', () => changes === 4)
  const [row] = await database.sql`select heard_at, last_seen_at from runners where id = ${id}`
  const before = new Date(start + 60_000)
  expect([new Date(row?.['heard_at']), new Date(row?.['last_seen_at'])]).toEqual([before, before])
  runner.close()
  await session
})
