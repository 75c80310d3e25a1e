import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { TunnelError } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunnerCallError } from '../runners/runner-answer.ts'
import { createRunnerStore } from '../runners/runner-store.ts'
import { MemoryObjects } from '../testing/memory-objects.ts'
import type { StepVerb } from '../testing/memory-runner.ts'
import { MemoryRunner } from '../testing/memory-runner.ts'
import { createPrincipal } from '../testing/test-api.ts'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { createTunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { createBackupStore } from './backups/backup-store.ts'
import type { SandboxFiles } from './backups/sandbox-files.ts'
import { createSandboxFiles } from './backups/sandbox-files.ts'
import { createUploadStore } from './backups/upload-store.ts'
import { createSandboxChanges } from './sandbox-changes.ts'
import { createSandboxLeaseStore } from './sandbox-lease-store.ts'
import { planSandbox } from './sandbox-plan.ts'
import type { ReconcilerLimits, SandboxReconciler } from './sandbox-reconciler.ts'
import { createSandboxReconciler } from './sandbox-reconciler.ts'
import type { SandboxStore } from './sandbox-store.ts'
import { createSandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** Times short enough for tests; a lease that never expires by itself. */
const limits: Partial<ReconcilerLimits> = { pollMs: 20, leaseMs: 600_000, retryMinMs: 1, retryMaxMs: 10 }
const silent = { subscribe: () => undefined }
const user = { kind: 'user', id: 'u1' } as const

let database: TestDatabase
let tunnels: TunnelRegistry
let runner: MemoryRunner
let store: SandboxStore
let organizationId: string
let runnerId: string
let replicas: SandboxReconciler[]

beforeEach(async () => {
  database = await createTestDatabase()
  tunnels = createTunnelRegistry()
  runner = new MemoryRunner(tunnels)
  store = createSandboxStore({ database, changes: createSandboxChanges(silent), now: Date.now })
  const tokenHash = 'a'.repeat(64)
  runnerId = await createRunnerStore(database).ensure({ name: 'r', tokenHash, region: 'us' })
  organizationId = (await createPrincipal(database)).organizationId
  replicas = []
})
afterEach(async () => {
  for (const replica of replicas) await replica[Symbol.asyncDispose]()
  tunnels.close()
  await database[Symbol.asyncDispose]()
})

/** Starts a replica that hears of no change and finds rows by polling only (R7). Once dead it finds nothing more. */
function startReplica(extra: Partial<ReconcilerLimits> = {}): SandboxReconciler & { die(): Promise<void> } {
  let dead = false
  const leases = createSandboxLeaseStore(database)
  let lookingForWork: Promise<unknown> = Promise.resolve()
  const replica = createSandboxReconciler({
    store,
    leases: {
      ...leases,
      lease(request) {
        const rows = leases.lease(request)
        lookingForWork = rows
        return rows
      },
    },
    runners: {
      readyIds: () => (dead ? [] : [runnerId]),
      client: () => runner,
      onReady: () => undefined,
    },
    tunnels,
    ...{ files: filesOf(database), snapshots: { isThere: async () => true } },
    work: 'steps',
    changes: createSandboxChanges(silent),
    log: createLogger('test', 'silent'),
    limits: { ...limits, ...extra },
  })
  replicas.push(replica)
  replica.start()
  return Object.assign(replica, {
    /** Ends it like `kill -9`: it gives no lease back, and its leases run out. */
    async die() {
      dead = true
      // A statement under way would take the expired lease right back, for the ten minutes of these tests.
      await lookingForWork
      await expireLeases()
    },
  })
}

function filesOf({ db, transaction }: TestDatabase): SandboxFiles {
  const backups = createBackupStore({ db, transaction, now: Date.now })
  const uploads = createUploadStore({ db, transaction })
  return createSandboxFiles({ store: backups, uploads, objects: new MemoryObjects() })
}

async function insert(): Promise<string> {
  const at = new Date()
  const times = { changedAt: at, lastActivityAt: at, createdAt: at, updatedAt: at }
  const { ttlMinutes: _, ...plan } = planSandbox({})
  const values = { ...plan, ...times, target: 'us', organizationId, runnerId }
  const row = await store.transaction((tx) =>
    store.insert(tx, { ...values, state: 'creating', desiredState: 'started' }, user),
  )
  if (row === undefined) throw new Error('nothing was inserted')
  return row.id
}

async function read(id: string): Promise<SandboxRow> {
  const [row] = await store.findMany([id])
  if (row === undefined) throw new Error('the row is gone')
  return row
}

function command(id: string, event: 'start' | 'stop' | 'delete') {
  return store.change({ id, event, actor: user })
}

function untilSettled(id: string, state: SandboxRow['state']): Promise<void> {
  return until(`the row is settled as ${state}`, async () => {
    const row = await read(id)
    return row.state === state && (row.desiredState === state || state === 'error')
  })
}

async function expireLeases(): Promise<void> {
  await database.sql`update sandboxes set lease_expires_at = now() - interval '1 second' where lease_owner is not null`
}

describe('a reconciler', () => {
  it('R3, R4, R8: starts what is created, with a token of its own, and writes every change down', async () => {
    startReplica()
    const id = await insert()
    await untilSettled(id, 'started')
    const row = await read(id)
    expect(row).toMatchObject({ leaseOwner: null, attempts: 0, errorReason: null })
    expect(row.toolboxTokenHash).toMatch(/^[0-9a-f]{64}$/)
    expect(JSON.stringify(row)).not.toContain(runner.sandboxes.get(id)?.token)
    const events = await store.events(id)
    expect(events).toMatchObject([
      { event: 'create', fromState: null, toState: 'creating', actorKind: 'user', actorId: 'u1' },
      { event: 'made', fromState: 'creating', toState: 'starting', actorKind: 'reconciler', actorId: null },
      { event: 'ready', fromState: 'starting', toState: 'started' },
    ])
    const times = events.map(({ at }) => at.getTime())
    expect(events.map(({ durationMs }) => durationMs)).toEqual(times.map((at, index) => at - (times[index - 1] ?? at)))
  })

  it('R4: forgets the token when the sandbox stops, and hands out another at the next start', async () => {
    startReplica()
    const id = await insert()
    await untilSettled(id, 'started')
    const first = (await read(id)).toolboxTokenHash
    await command(id, 'stop')
    await untilSettled(id, 'stopped')
    expect((await read(id)).toolboxTokenHash).toBeNull()
    expect(tunnels.get(id)).toBeUndefined()
    await command(id, 'start')
    await untilSettled(id, 'started')
    expect((await read(id)).toolboxTokenHash).not.toBe(first)
  })

  it('R3: does not call started what its runner started but no toolbox came from', async () => {
    runner.toolboxConnects = false
    startReplica({ stepDeadlineMs: 1_500, launchDeadlineMs: 1_500 })
    const id = await insert()
    await untilSettled(id, 'error')
    expect(await read(id)).toMatchObject({ errorReason: expect.stringContaining('toolbox did not connect') })
    expect(runner.sandboxes.get(id)?.state).toBe('stopped')
  })

  it('R5: tries a step again that failed in passing', async () => {
    runner.fail('make', new RunnerCallError(500, 'oops'), 2)
    startReplica()
    const id = await insert()
    await untilSettled(id, 'started')
    expect(runner.calls.filter((call) => call.startsWith('make'))).toHaveLength(3)
  })

  it('R5: gives up after the last try, and then only deletes', async () => {
    runner.fail('make', new RunnerCallError(500, 'secret path'), 3)
    startReplica()
    const id = await insert()
    await untilSettled(id, 'error')
    const { errorReason } = await read(id)
    expect(errorReason).toBe('The sandbox could not be created: its runner failed')
    expect(runner.calls.filter((call) => call.startsWith('make'))).toHaveLength(3)
    await command(id, 'delete')
    await untilSettled(id, 'destroyed')
  })

  it('R5: gives up at once when the runner refuses, and says why', async () => {
    runner.fail('make', new RunnerCallError(400, 'user nobody is unknown'))
    startReplica()
    const id = await insert()
    await untilSettled(id, 'error')
    expect((await read(id)).errorReason).toBe('The sandbox could not be created: user nobody is unknown')
  })

  it('R5: what was made and does not start has its files, and is tried again as a start is', async () => {
    runner.fail('start', new RunnerCallError(500, 'secret path'), 3)
    startReplica()
    const id = await insert()
    await untilSettled(id, 'error')
    expect(await read(id)).toMatchObject({
      recoverableTo: 'stopped',
      errorReason: 'The sandbox could not be started: its runner failed',
      toolboxTokenHash: null,
    })
    const count = (verb: string) => runner.calls.filter((call) => call === `${verb} ${id}`).length
    expect([count('make'), count('start')]).toEqual([1, 3])
    expect((await store.events(id)).map(({ event }) => event)).toEqual(['create', 'made', 'failed'])
  })

  it('R5: what is refused before it is made has no files to recover', async () => {
    runner.fail('make', new RunnerCallError(404, 'Snapshot not found', 'SNAPSHOT_NOT_FOUND'))
    startReplica()
    const id = await insert()
    await untilSettled(id, 'error')
    const errorReason = 'The sandbox could not be created: Snapshot not found'
    expect(await read(id)).toMatchObject({ recoverableTo: null, errorReason, toolboxTokenHash: null })
    expect((await store.events(id)).map(({ event }) => event)).toEqual(['create', 'failed'])
  })

  it('R5: never gives a deletion up', async () => {
    runner.fail('remove', new RunnerCallError(500, 'busy'), 5)
    startReplica()
    const id = await insert()
    await untilSettled(id, 'started')
    await command(id, 'delete')
    await untilSettled(id, 'destroyed')
    expect(runner.calls.filter((call) => call.startsWith('remove'))).toHaveLength(6)
  })

  it('counts no try that failed because the runner was away', async () => {
    runner.fail('make', new TunnelError('LINK_CLOSED', 'gone'), 10)
    startReplica()
    const id = await insert()
    await untilSettled(id, 'started')
    expect(runner.calls.filter((call) => call.startsWith('make'))).toHaveLength(11)
  })

  it('works on no more rows at a time than it may, and on all of them in the end', async () => {
    const trap = runner.trap('make', 'before')
    const ids = [await insert(), await insert(), await insert()]
    startReplica({ maxJobs: 1 })
    await trap.reached
    expect(runner.calls).toHaveLength(1)
    trap.spring()
    for (const id of ids) await untilSettled(id, 'started')
  })

  it('gives its leases back when it is disposed in the middle of a step', async () => {
    const trap = runner.trap('start', 'after')
    const replica = startReplica()
    const id = await insert()
    await trap.reached
    await replica[Symbol.asyncDispose]()
    expect(await read(id)).toMatchObject({ leaseOwner: null, state: 'creating', desiredState: 'started' })
    startReplica()
    await untilSettled(id, 'started')
  })
})

describe('R2: a replica that dies', () => {
  const deaths = (['make', 'start', 'stop', 'remove'] satisfies StepVerb[]).flatMap((verb) =>
    (['before', 'after'] as const).map((at) => [at, verb] as const),
  )

  it.each(deaths)('%s its call to %s leaves the job to the next', async (at, verb) => {
    const trap = runner.trap(verb, at)
    const first = startReplica()
    const id = await insert()
    if (verb === 'stop' || verb === 'remove') {
      await untilSettled(id, 'started')
      await command(id, verb === 'stop' ? 'stop' : 'delete')
    }
    await trap.reached
    await first.die()
    startReplica()
    const end = { make: 'started', start: 'started', stop: 'stopped', remove: 'destroyed' } as const
    await untilSettled(id, end[verb])
    const after = await read(id)
    const events = await store.events(id)
    // The reply that the dead replica waited for comes after all.
    trap.spring()
    await first[Symbol.asyncDispose]()
    expect(await read(id)).toEqual(after)
    expect(await store.events(id)).toEqual(events)
    if (verb !== 'remove') {
      expect(runner.sandboxes.get(id)?.state).toBe(verb === 'stop' ? 'stopped' : 'running')
    } else expect(runner.sandboxes.has(id)).toBe(false)
  })

  it('between two starts leaves a token that fits: a sandbox that runs with a lost one is started anew', async () => {
    runner.toolboxConnects = false
    const trap = runner.trap('start', 'after')
    const first = startReplica()
    const id = await insert()
    await trap.reached
    await first.die()
    // As when the second replica stored a token of its own before the runner took the first one's.
    await database.sql`update sandboxes set toolbox_token_hash = ${'c'.repeat(64)}`
    runner.toolboxConnects = true
    startReplica({ adoptWaitMs: 1 })
    await untilSettled(id, 'started')
    expect(tunnels.get(id)?.closed).toBe(false)
  })
})

describe('R6: a deletion', () => {
  it.each(['make', 'start'] satisfies StepVerb[])('cuts short a %s that hangs', async (verb) => {
    const changes = createSandboxChanges(silent)
    store = createSandboxStore({ database, changes, now: Date.now })
    const replica = createSandboxReconciler({
      store,
      leases: createSandboxLeaseStore(database),
      runners: { readyIds: () => [runnerId], client: () => runner, onReady: () => undefined },
      tunnels,
      ...{ files: filesOf(database), snapshots: { isThere: async () => true } },
      work: 'steps',
      changes,
      log: createLogger('test', 'silent'),
      limits: { ...limits, stepDeadlineMs: 600_000 },
    })
    replicas.push(replica)
    replica.start()
    const trap = runner.trap(verb, 'after')
    const id = await insert()
    await trap.reached
    await command(id, 'delete')
    await untilSettled(id, 'destroyed')
    expect(runner.sandboxes.has(id)).toBe(false)
  })
})

describe('R1: leases', () => {
  it('go to one replica each, however many ask at once', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, insert))
    const leases = createSandboxLeaseStore(database)
    const request = { runnerIds: [runnerId], work: 'steps' as const, limit: 7, leaseMs: 60_000 }
    const taken = await Promise.all(Array.from({ length: 5 }, () => leases.lease({ ...request, owner: randomUUID() })))
    const all = taken.flat().map((row) => row.id)
    expect(new Set(all).size).toBe(all.length)
    for (const rows of taken) expect(rows.length).toBeLessThanOrEqual(7)
    expect((await leases.lease({ ...request, owner: randomUUID(), limit: 100 })).length).toBe(20 - all.length)
    expect(ids).toHaveLength(20)
  })

  it('taken while the last step is still being recorded are acted on all the same', async () => {
    const plain = store
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    store = {
      ...plain,
      async change(request) {
        const result = await plain.change(request)
        if ([request.event].flat().includes('ready')) await gate
        return result
      },
    }
    startReplica()
    const id = await insert()
    await until('the start is in the database', async () => (await read(id)).state === 'started')
    await command(id, 'stop')
    await until('the row is leased anew', async () => (await read(id)).leaseOwner !== null)
    open()
    await untilSettled(id, 'stopped')
  })

  it('that ran out record nothing and cannot be renewed', async () => {
    const id = await insert()
    const leases = createSandboxLeaseStore(database)
    const owner = randomUUID()
    await leases.lease({ owner, runnerIds: [runnerId], work: 'steps' as const, limit: 1, leaseMs: 60_000 })
    await expireLeases()
    await leases.renew(owner, [id], 60_000)
    expect(await leases.reload(id, owner)).toBeUndefined()
    expect(await leases.setToolboxToken(id, owner, 'b'.repeat(64))).toBe(false)
    const request = { id, event: 'made', actor: { kind: 'reconciler' }, leaseOwner: owner } as const
    expect(await store.change(request)).toBeUndefined()
    expect((await read(id)).state).toBe('creating')
  })
})
