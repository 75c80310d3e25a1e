import { randomUUID } from 'node:crypto'
import type { MakeSnapshot, RunnerSnapshot } from '@atoll/protocol'
import { SNAPSHOT_PULL_LIMIT_MS, SNAPSHOT_UNUSED_MS } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { TunnelError } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RowReconciler } from '../reconciliation/row-reconciler.ts'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { RunnerSnapshotClient } from '../runners/runner-snapshot-client.ts'
import { createRunnerStore } from '../runners/runner-store.ts'
import { MemoryRunner } from '../testing/memory-runner.ts'
import { noSnapshots } from '../testing/nobody-asks.ts'
import { createPrincipal } from '../testing/test-api.ts'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import { createTunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { createSnapshotChanges } from './snapshot-changes.ts'
import { createSnapshotReconciler } from './snapshot-reconciler.ts'
import { createSnapshotRunnerStore } from './snapshot-runner-store.ts'
import { createMakeSnapshotStep } from './snapshot-steps.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import { createSnapshotStore } from './snapshot-store.ts'
import { createSnapshotSweep } from './snapshot-sweep.ts'
import type { NewSnapshotRow, SnapshotRow } from './snapshot-table.ts'
import { createSnapshotWatch } from './snapshot-watch.ts'

const silent = { subscribe: () => undefined }
const log = createLogger('test', 'silent')
const able = { available: true }
const buildInfo = { dockerfileContent: 'FROM a:1', contextHashes: [], createdAt: '', updatedAt: '', snapshotRef: 'r' }

/** A runner's snapshots in memory, whose answers a test can hold back. */
class MemorySnapshots implements RunnerSnapshotClient {
  readonly held = new Map<string, RunnerSnapshot>()
  readonly made: { ref: string; body: MakeSnapshot }[] = []
  readonly failures: Error[] = []
  /** Promises that `make` awaits before its effect and after it. */
  gates: { before?: Promise<void>; after?: Promise<void>; reach?: () => void } = {}

  readonly sendContent = noSnapshots.sendContent
  readonly log = noSnapshots.log
  readonly export = noSnapshots.export

  async list(): Promise<RunnerSnapshot[]> {
    return [...this.held.values()]
  }

  async get(ref: string): Promise<RunnerSnapshot> {
    const found = this.held.get(ref)
    if (found === undefined) throw new RunnerCallError(400, 'Snapshot not found', 'SNAPSHOT_NOT_FOUND')
    return found
  }

  async make(ref: string, body: MakeSnapshot): Promise<RunnerSnapshot> {
    this.gates.reach?.()
    await this.gates.before
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    this.made.push({ ref, body })
    if (!this.held.has(ref)) this.set(ref, 'pending')
    await this.gates.after
    return await this.get(ref)
  }

  async remove(ref: string): Promise<void> {
    this.held.delete(ref)
  }

  set(ref: string, state: RunnerSnapshot['state'], reason?: string): void {
    const image = { entrypoint: [], cmd: [], env: {}, workDir: '', user: '' }
    const facts = { kind: 'image' as const, needsContent: false, sizeGiB: 0.25, image, users: ['daytona', 'root'] }
    this.held.set(ref, { ref, state, ...facts, ...(reason === undefined ? {} : { reason }) })
  }
}

let database: TestDatabase
let store: SnapshotStore
let snapshots: MemorySnapshots
let client: RunnerClient
let organizationId: string
let runnerId: string
let now: number
let replicas: RowReconciler[]

beforeEach(async () => {
  database = await createTestDatabase()
  now = Date.now()
  snapshots = new MemorySnapshots()
  client = Object.assign(new MemoryRunner(createTunnelRegistry()), { snapshots })
  store = createSnapshotStore({ database, changes: createSnapshotChanges(silent), now: () => now })
  runnerId = await createRunnerStore(database).ensure({ name: 'r', tokenHash: 'a'.repeat(64), region: 'us' })
  const abilities = { images: able, builds: able, directories: able, zstd: able, quotas: able, network: able }
  await database.sql`update runners set abilities = ${JSON.stringify(abilities)}::text::jsonb`
  organizationId = (await createPrincipal(database)).organizationId
  replicas = []
})
afterEach(async () => {
  for (const replica of replicas) await replica[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

/** Starts a replica that gets no notification and finds rows only by polling (M5). */
function startReplica(): RowReconciler & { die(): Promise<void> } {
  let dead = false
  const runners = {
    readyIds: () => (dead ? [] : [runnerId]),
    client: () => client,
    onReady: () => undefined,
  }
  const holdings = createSnapshotRunnerStore(database)
  const watch = createSnapshotWatch({ recheckMs: 5 })
  const contexts = { open: () => Promise.reject(new Error('nobody asks')) }
  const make = createMakeSnapshotStep({ store, holdings, runners, contexts, registries: async () => [], watch })
  const replica = createSnapshotReconciler({
    ...{ database, store, make, runners, log, now: () => now, changes: createSnapshotChanges(silent) },
    limits: { pollMs: 20, leaseMs: 600_000, retryMinMs: 1, retryMaxMs: 10 },
  })
  replicas.push(replica)
  replica.start()
  return Object.assign(replica, {
    /** Ends the replica as `kill -9` would: it gives nothing back, and its leases run out. */
    async die() {
      dead = true
      await database.sql`update snapshots set lease_expires_at = now() - interval '1 second' where lease_owner is not null`
    },
  })
}

async function insert(values: Partial<NewSnapshotRow> = {}): Promise<string> {
  const at = new Date(now)
  const row = await store.transaction((tx) =>
    store.insert(
      tx,
      {
        ...{ organizationId, name: randomUUID(), general: false, ref: `snapshot-${randomUUID()}`, kind: 'image' },
        ...{ imageName: 'a:1', cpu: 1, gpu: 0, memoryGib: 1, diskGib: 3, region: 'us', state: 'pending' },
        ...{ changedAt: at, createdAt: at, updatedAt: at, ...values },
      },
      { kind: 'user', id: 'ada' },
    ),
  )
  if (row === undefined) throw new Error('nothing was inserted')
  return row.id
}

async function read(id: string): Promise<SnapshotRow> {
  const row = await store.findById(id)
  if (row === undefined) throw new Error('the row is gone')
  return row
}

function untilState(id: string, state: SnapshotRow['state']): Promise<void> {
  return until(`the row is ${state}`, async () => (await read(id)).state === state)
}

/** Holds the next call back, before or after it has its effect. */
function trap(at: 'before' | 'after'): { reached: Promise<void>; spring(): void } {
  let reach: () => void = () => undefined
  let spring: () => void = () => undefined
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  const sprung = new Promise<void>((resolve) => {
    spring = resolve
  })
  snapshots.gates = { reach, [at]: sprung }
  return {
    reached,
    spring() {
      snapshots.gates = {}
      spring()
    },
  }
}

/** Returns the event rows of a snapshot: actor, event, states, duration and reason. */
async function eventsOf(id: string): Promise<unknown[][]> {
  return await database.sql`
    select coalesce(actor_id, actor_kind), event, from_state, to_state, duration_ms::int, reason
    from snapshot_events where snapshot_id = ${id} order by id`.values()
}

describe('the reconciler of snapshots', () => {
  it('has one made, follows it and writes down what came of it', async () => {
    startReplica()
    const id = await insert({ maxSizeGib: 7 })
    const { ref } = await read(id)
    await until('it is asked for', () => snapshots.made.length === 1)
    expect(snapshots.made[0]?.body).toMatchObject({ source: { kind: 'image', reference: 'a:1' }, maxSizeGiB: 7 })
    snapshots.set(ref, 'validating')
    await untilState(id, 'validating')
    snapshots.set(ref, 'active')
    await untilState(id, 'active')
    expect(await read(id)).toMatchObject({ sizeGib: 0.25, runnerId, leaseOwner: null, attempts: 0 })
    const holdings = createSnapshotRunnerStore(database)
    expect(await holdings.holdersOf(database.db, ref)).toEqual([runnerId])
    const { name } = await read(id)
    for (const text of [ref, name ?? '']) expect(await holdings.withSnapshot(text)).toMatchObject([{ runnerId, ref }])
    expect(await holdings.withSnapshot('none')).toEqual([])
  })

  it.each(['before', 'after'] as const)(
    'M2: a replica that dies %s its call leaves the job to the next',
    async (at) => {
      const held = trap(at)
      const first = startReplica()
      const id = await insert()
      const { ref } = await read(id)
      await held.reached
      await first.die()
      startReplica()
      if (at === 'before') await until('the second is held as well', () => snapshots.made.length === 0)
      held.spring()
      await until('it is made', () => snapshots.held.has(ref))
      snapshots.set(ref, 'active')
      await untilState(id, 'active')
      const after = await read(id)
      await first[Symbol.asyncDispose]()
      expect(await read(id)).toEqual(after)
    },
  )

  it('M6: writes a row of every change, with who, how long and why', async () => {
    startReplica()
    const id = await insert()
    const { ref } = await read(id)
    await until('it is asked for', () => snapshots.made.length === 1)
    now += 3_000
    snapshots.set(ref, 'validating')
    await untilState(id, 'validating')
    now += 500
    snapshots.set(ref, 'error', 'no such image')
    await untilState(id, 'error')
    await store.change({ id, event: 'delete', actor: { kind: 'user', id: 'ada' } })
    const events = await eventsOf(id)
    expect(events[0]).toEqual(['ada', 'create', null, 'pending', 0, null])
    expect(events.slice(1).map(([, event, from, to]) => [event, from, to])).toEqual([
      ['pull_begun', 'pending', 'pulling'],
      ['pulled', 'pulling', 'pending_validation'],
      ['validation_begun', 'pending_validation', 'validating'],
      ['failed', 'validating', 'error'],
      ['delete', 'error', 'removing'],
    ])
    expect(events.slice(1, 4).reduce((sum, [, , , , ms]) => sum + Number(ms), 0)).toBe(3_000)
    expect(events.slice(4)).toEqual([
      ['reconciler', 'failed', 'validating', 'error', 500, 'no such image'],
      ['ada', 'delete', 'error', 'removing', 0, null],
    ])
    // An event that changes nothing or is refused leaves no row.
    await store.change({ id, event: 'delete' })
    await store.change({ id, event: 'activate' })
    expect(await eventsOf(id)).toHaveLength(events.length)
  })

  it('M2: asks again for what its runner has lost', async () => {
    startReplica()
    const id = await insert()
    const { ref } = await read(id)
    await until('it is asked for', () => snapshots.held.has(ref))
    snapshots.held.delete(ref)
    await until('it is asked for again', () => snapshots.made.length === 2)
    snapshots.set(ref, 'active')
    await untilState(id, 'active')
  })

  it('M3: gives up what takes too long', async () => {
    const id = await insert()
    now += SNAPSHOT_PULL_LIMIT_MS + 1
    startReplica()
    await untilState(id, 'error')
    expect((await read(id)).errorReason).toBe('It took longer than 15 minutes')
  })

  it('M3: fails at once what no runner can do, and says why', async () => {
    const lacking = { available: false, reason: 'install the package skopeo' }
    await database.sql`update runners set abilities = ${JSON.stringify({ images: lacking })}::text::jsonb`
    startReplica()
    const id = await insert()
    await untilState(id, 'error')
    expect((await read(id)).errorReason).toBe('No runner can pull images: install the package skopeo')
  })

  it('tries again what failed in passing, and counts no try while the runner is away', async () => {
    snapshots.failures.push(new TunnelError('LINK_CLOSED', 'gone'), new RunnerCallError(500, 'oops'))
    startReplica()
    const id = await insert()
    await until('it is made', () => snapshots.made.length === 1)
    snapshots.set((await read(id)).ref, 'active')
    await untilState(id, 'active')
  })

  it("does not tell a user what the runner's failure was", async () => {
    snapshots.failures.push(...Array.from({ length: 3 }, () => new RunnerCallError(500, '/secret/path')))
    startReplica()
    const id = await insert()
    await untilState(id, 'error')
    expect((await read(id)).errorReason).toBe('Its runner failed')
  })

  it('M2: takes an archive whose runner has lost it for cut short', async () => {
    startReplica()
    const id = await insert({ kind: 'archive', imageName: null, runnerId, asked: true })
    await untilState(id, 'error')
    expect((await read(id)).errorReason).toBe('The upload was cut short')
  })

  it('M1: works on one row in one replica only', async () => {
    const held = trap('before')
    startReplica()
    startReplica()
    const ids = [await insert(), await insert(), await insert()]
    await held.reached
    held.spring()
    for (const id of ids) {
      const { ref } = await read(id)
      await until('it is made', () => snapshots.held.has(ref))
      snapshots.set(ref, 'active')
      await untilState(id, 'active')
    }
    expect(new Set(snapshots.made.map(({ ref }) => ref)).size).toBe(snapshots.made.length)
  })
})

describe('the sweep', () => {
  function createSweep(standing = store.standing) {
    const runners = { readyIds: () => [runnerId], client: () => client }
    const holdings = createSnapshotRunnerStore(database)
    const changes = createSnapshotChanges(silent)
    const watch = createSnapshotWatch()
    return createSnapshotSweep({
      ...{ store: { ...store, standing }, holdings, runners, changes, watch, log, now: () => now },
    })
  }

  it('makes inactive what nobody has used for 14 days, and takes away what has no name', async () => {
    const old = new Date(now - SNAPSHOT_UNUSED_MS - 1_000)
    const times = { changedAt: old, createdAt: old, updatedAt: old }
    const active = { state: 'active', runnerId, asked: true } as const
    const unused = await insert({ ...active, ...times })
    const used = await insert({ ...active, ...times, lastUsedAt: new Date(now) })
    const nameless = await insert({ ...active, ...times, name: null })
    const { ref } = await read(nameless)
    snapshots.set(ref, 'active')
    await using sweep = createSweep()
    await sweep.sweep()
    expect([(await read(unused)).state, (await read(used)).state]).toEqual(['inactive', 'active'])
    expect((await read(nameless)).state).toBe('removed')
    expect(snapshots.held.has(ref)).toBe(false)
    const [builtIn] = await database.sql`select state from snapshots where kind = 'builtin'`
    expect(builtIn?.['state']).toBe('active')
  })

  it('M3: gives up what takes too long on a runner that is away', async () => {
    const id = await insert({ state: 'pulling', runnerId, asked: true })
    const fresh = await insert({ state: 'building', kind: 'build', buildInfo, imageName: null, runnerId })
    now += SNAPSHOT_PULL_LIMIT_MS + 2 * 60_000
    await using sweep = createSweep()
    await sweep.sweep()
    expect(await read(id)).toMatchObject({ state: 'error', errorReason: 'It took longer than 15 minutes' })
    expect((await read(fresh)).state).toBe('building')
  })

  it('M3: does not give up what has made progress since it was looked at', async () => {
    const id = await insert({ state: 'pulling', runnerId, asked: true })
    now += SNAPSHOT_PULL_LIMIT_MS + 2 * 60_000
    await using sweep = createSweep(async (state, before) => {
      const rows = await store.standing(state, before)
      for (const row of rows) await store.change({ id: row.id, event: 'pulled' })
      return rows
    })
    await sweep.sweep()
    expect((await read(id)).state).toBe('pending_validation')
  })

  it('M7: takes from a removed runner what it was to make', async () => {
    const id = await insert({ state: 'pulling', runnerId, asked: true })
    await database.sql`update runners set removed_at = now()`
    await using sweep = createSweep()
    await sweep.sweep()
    expect(await read(id)).toMatchObject({ state: 'pulling', runnerId: null, asked: false })
  })

  it('keeps a removed snapshot in the list for as long as a runner that is away has it', async () => {
    const id = await insert({ state: 'active', runnerId, asked: true })
    const { ref } = await read(id)
    const elsewhere = await createRunnerStore(database).ensure({ name: 's', tokenHash: 'b'.repeat(64), region: 'us' })
    await createSnapshotRunnerStore(database).setHeld(ref, elsewhere)
    await store.change({ id, event: 'delete' })
    await using sweep = createSweep()
    await sweep.sweep()
    expect((await read(id)).state).toBe('removing')
    await database.sql`delete from snapshot_runners where runner_id = ${elsewhere}`
    await sweep.sweep()
    expect((await read(id)).state).toBe('removed')
  })
})
