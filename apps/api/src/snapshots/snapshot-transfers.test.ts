import { randomUUID } from 'node:crypto'
import type { RunnerSnapshot } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RunnerCallError } from '../runners/runner-answer.ts'
import { createRunnerStore } from '../runners/runner-store.ts'
import { MemoryRunner } from '../testing/memory-runner.ts'
import { noSnapshots } from '../testing/nobody-asks.ts'
import { createPrincipal } from '../testing/test-api.ts'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import { createTunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { createSnapshotChanges } from './snapshot-changes.ts'
import { createSnapshotRunnerStore } from './snapshot-runner-store.ts'
import { createSnapshotStore } from './snapshot-store.ts'
import type { SnapshotRow } from './snapshot-table.ts'
import type { SnapshotTransfers } from './snapshot-transfers.ts'
import { createSnapshotTransfers } from './snapshot-transfers.ts'
import { createSnapshotWatch } from './snapshot-watch.ts'

const HOUR_MS = 3_600_000
const coming = { kind: 'coming' }

let database: TestDatabase
let transfers: SnapshotTransfers
let runnerId: string
let snapshot: SnapshotRow
let now: number
/** The answer of the runner when it is asked for the snapshot. */
let answer: () => Promise<RunnerSnapshot>
let asked: number

beforeEach(async () => {
  database = await createTestDatabase()
  now = Date.now()
  asked = 0
  runnerId = await createRunnerStore(database).ensure({ name: 'r', tokenHash: 'a'.repeat(64), region: 'us' })
  snapshot = await insert()
  const get = () => {
    asked += 1
    return answer()
  }
  const client = Object.assign(new MemoryRunner(createTunnelRegistry()), { snapshots: { ...noSnapshots, get } })
  transfers = createSnapshotTransfers({
    ...{ database, holdings: createSnapshotRunnerStore(database), runners: { client: () => client } },
    ...{ registries: async () => [], watch: createSnapshotWatch({ recheckMs: 5 }) },
    ...{ log: createLogger('test', 'silent'), now: () => now },
  })
})
afterEach(async () => {
  await transfers[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

async function insert(): Promise<SnapshotRow> {
  const { organizationId } = await createPrincipal(database)
  const at = new Date(now)
  const store = createSnapshotStore({
    ...{ database, changes: createSnapshotChanges({ subscribe: () => undefined }), now: () => now },
  })
  const row = await store.transaction((tx) =>
    store.insert(
      tx,
      {
        ...{ organizationId, name: randomUUID(), general: false, ref: `snapshot-${randomUUID()}`, kind: 'image' },
        ...{ imageName: 'a:1', cpu: 1, gpu: 0, memoryGib: 1, diskGib: 3, region: 'us', state: 'active' },
        ...{ changedAt: at, createdAt: at, updatedAt: at },
      },
      { kind: 'user', id: 'ada' },
    ),
  )
  if (row === undefined) throw new Error('nothing was inserted')
  return row
}

/** Begins a transfer, and resolves when it has failed and nobody has asked how it ended. */
async function failUnheard(): Promise<void> {
  let fail: () => void = () => undefined
  const failing = new Promise<RunnerSnapshot>((_, reject) => {
    fail = () => reject(new RunnerCallError(400, 'no space left', 'SNAPSHOT_REFUSED'))
  })
  answer = () => failing
  expect(transfers.bring(runnerId, snapshot)).toEqual(coming)
  await until('the runner is asked', () => asked === 1)
  fail()
  await failing.catch(() => undefined)
  // The failure is noted within a few turns of the microtask queue.
  await new Promise((resolve) => setImmediate(resolve))
  answer = async () => ({ ...facts, ref: snapshot.ref, state: 'active' })
}

const image = { entrypoint: [], cmd: [], env: {}, workDir: '', user: '' }
const facts = { kind: 'image' as const, needsContent: false, sizeGiB: 0.25, image, users: ['root'] }

async function isHeld(): Promise<boolean> {
  const holdings = createSnapshotRunnerStore(database)
  return (await holdings.holdersOf(database.db, snapshot.ref)).length > 0
}

it('tells a failure once to those who wait, and begins anew', async () => {
  await failUnheard()
  expect(transfers.bring(runnerId, snapshot)).toMatchObject({ kind: 'permanent', reason: 'no space left' })
  expect(transfers.bring(runnerId, snapshot)).toEqual(coming)
  await until('the runner has it', isHeld)
})

it.each([
  ['an hour later', HOUR_MS],
  ['after the clock was set back', -HOUR_MS],
])('begins anew %s though nobody heard of a failure', async (_, passedMs) => {
  await failUnheard()
  now += passedMs
  expect(transfers.bring(runnerId, snapshot)).toEqual(coming)
  await until('the runner has it', isHeld)
})

it('keeps nothing of a transfer that succeeded: what the runner lost since is brought again', async () => {
  answer = async () => ({ ...facts, ref: snapshot.ref, state: 'active' })
  transfers.bring(runnerId, snapshot)
  await until('the runner has it', isHeld)
  await database.sql`delete from snapshot_runners where ref = ${snapshot.ref}`
  const told = new Set<string>()
  await until('the runner has it again', async () => {
    told.add(transfers.bring(runnerId, snapshot).kind)
    return await isHeld()
  })
  expect([...told]).toEqual(['coming'])
})
