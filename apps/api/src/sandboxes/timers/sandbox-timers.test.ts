import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunnerCallError } from '../../runners/runner-answer.ts'
import type { ReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createSandboxActivity } from '../../toolbox/sandbox-activity.ts'
import { createTunnelRegistry } from '../../tunnels/tunnel-registry.ts'
import { ARCHIVE_PAUSE_MS } from '../sandbox-columns.ts'
import { createSandboxSnapshotStore } from '../sandbox-snapshot-store.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import type { SandboxTimers, SandboxTimersOptions } from './sandbox-timers.ts'
import { createSandboxTimers } from './sandbox-timers.ts'
import { createTimerStore, dueQuery, isDue, timers as kinds, nextQuery } from './timer-store.ts'

const MINUTE_MS = 60_000

let clock: number
let world: ReconciledSandboxes

beforeEach(async () => {
  clock = Date.parse('2026-01-01T00:00:00Z')
  world = await createReconciledSandboxes(() => clock)
  world.startReplica()
})
afterEach(() => world[Symbol.asyncDispose]())

const unused = { flush: async () => true, isUsed: () => false }

function createTimers(options: Partial<Pick<SandboxTimersOptions, 'activity' | 'timers'>> = {}): SandboxTimers {
  const { database, store } = world
  const log = createLogger('test', 'silent')
  const changes = { subscribe: () => () => undefined }
  const timers = createTimerStore(database)
  return createSandboxTimers({ timers, store, changes, activity: unused, log, now: () => clock, ...options })
}

/** Returns the row after `minutes` and one pass, and checks that a pass a millisecond before changed nothing. */
async function changesAfter(id: string, minutes: number): Promise<SandboxRow> {
  const timers = createTimers()
  const begin = clock
  clock = begin + minutes * MINUTE_MS - 1
  await timers.pass()
  const before = await world.read(id)
  expect([before.desiredState, before.updatedAt.getTime() <= begin]).toEqual([before.state, true])
  clock += 1
  await timers.pass()
  return await world.read(id)
}

const off = { autoStopMinutes: 0, autoArchiveMinutes: 43_200, autoDeleteMinutes: -1 }

describe('autostop', () => {
  it('stops what was not used for its interval, to the millisecond', async () => {
    const id = await world.started({ ...off, autoStopMinutes: 15 })
    expect((await changesAfter(id, 15)).desiredState).toBe('stopped')
    await world.untilSettled(id, 'stopped')
    expect((await world.store.events(id)).find(({ event }) => event === 'stop')).toMatchObject({
      ...{ actorKind: 'reconciler', reason: 'not used for its auto-stop interval', durationMs: 15 * MINUTE_MS },
    })
  })

  it('counts from the last use, also one that is not written down yet', async () => {
    const id = await world.started({ ...off, autoStopMinutes: 1 })
    clock += 5 * MINUTE_MS
    const used = clock
    const flush = () => world.store.touch(new Map([[id, used]])).then(() => true)
    await createTimers({ activity: { ...unused, flush } }).pass()
    expect((await world.read(id)).desiredState).toBe('started')
    expect((await changesAfter(id, 1)).desiredState).toBe('stopped')
  })

  it('stops nothing by what is written down while activity cannot be written', async () => {
    const id = await world.started({ ...off, autoStopMinutes: 1 })
    let fails = true
    await using activity = createSandboxActivity({
      write: (used) => (fails ? Promise.reject(new Error('planned')) : world.store.touch(used)),
      ...{ tunnels: createTunnelRegistry(), log: createLogger('test', 'silent'), now: () => clock },
    })
    const timers = createTimers({ activity })
    for (let second = 1; second <= 120; second += 1) {
      clock += 1_000
      activity.record(id)
      if (second % 10 === 0) await timers.pass()
    }
    expect((await world.read(id)).desiredState).toBe('started')
    fails = false
    await timers.pass()
    expect(await world.read(id)).toMatchObject({ desiredState: 'started', lastActivityAt: new Date(clock) })
    clock += MINUTE_MS
    await timers.pass()
    expect((await world.read(id)).desiredState).toBe('stopped')
  })

  it('does not stop what is used after it was found to be due', async () => {
    const id = await world.started({ ...off, autoStopMinutes: 1 })
    await using activity = createSandboxActivity({
      ...{ write: world.store.touch, tunnels: createTunnelRegistry() },
      ...{ log: createLogger('test', 'silent'), now: () => clock },
    })
    const store = createTimerStore(world.database)
    const found: string[] = []
    const timers: typeof store = {
      ...store,
      async due(...query) {
        const ids = await store.due(...query)
        for (const each of ids) activity.record(each)
        found.push(...ids)
        return ids
      },
    }
    clock += MINUTE_MS
    await createTimers({ activity, timers }).pass()
    expect(found).toEqual([id])
    expect((await world.read(id)).desiredState).toBe('started')
  })

  it('is never with 0, and takes up a new interval at once', async () => {
    const id = await world.started(off)
    clock += 1_000_000 * MINUTE_MS
    await createTimers().pass()
    expect((await world.read(id)).desiredState).toBe('started')
    await world.store.set(id, world.organizationId, { autoStopMinutes: 1_000_000 })
    await createTimers().pass()
    expect((await world.read(id)).desiredState).toBe('stopped')
  })

  it('counts from the end of a snapshot that was made of it, which its events tell', async () => {
    const id = await world.started({ ...off, autoStopMinutes: 15 })
    const { database, changes, store } = world
    const links = createSandboxSnapshotStore({ database, changes, now: () => clock })
    clock += 14 * MINUTE_MS
    const by = { snapshotId: randomUUID(), actor: { kind: 'user', id: 'u1' } as const }
    await store.transaction((tx) => links.beginSnapshot(tx, id, by))
    clock += 20 * MINUTE_MS
    await createTimers().pass()
    await links.endSnapshots()
    await links.endSnapshots()
    expect((await changesAfter(id, 15)).desiredState).toBe('stopped')
    await world.untilSettled(id, 'stopped')
    const events = (await store.events(id)).slice(-4)
    expect(
      events.map(({ event, fromState, toState, durationMs }) => [event, fromState, toState, durationMs / MINUTE_MS]),
    ).toEqual([
      ['snapshot', 'started', 'snapshotting', 14],
      ['snapshotted', 'snapshotting', 'started', 20],
      ['stop', 'started', 'stopping', 15],
      ['halted', 'stopping', 'stopped', 0],
    ])
    expect(events.map(({ actorKind, actorId }) => [actorKind, actorId]).slice(0, 2)).toEqual([
      ['user', 'u1'],
      ['reconciler', null],
    ])
  })

  it('deletes what is to be deleted when it stops', async () => {
    const id = await world.started({ ...off, autoStopMinutes: 15, autoDeleteMinutes: 0 })
    expect((await changesAfter(id, 15)).desiredState).toBe('destroyed')
    await world.untilSettled(id, 'destroyed')
  })
})

describe('autoarchive', () => {
  it('archives what was stopped for its interval', async () => {
    const id = await world.stopped('all', { ...off, autoArchiveMinutes: 10_080 })
    expect((await changesAfter(id, 10_080)).desiredState).toBe('archived')
    await world.untilSettled(id, 'archived')
  })

  it('is not put off by resizing, and begins anew with each stop', async () => {
    const id = await world.stopped('all', { ...off, autoArchiveMinutes: 10 })
    clock += 6 * MINUTE_MS
    await world.command(id, 'resize', { resizeCpu: 2, resizeMemoryGib: 1, resizeDiskGib: 3 })
    await world.untilSettled(id, 'stopped')
    expect(await world.read(id)).toMatchObject({ cpu: 2, stoppedAt: new Date(clock - 6 * MINUTE_MS) })
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    clock += 60 * MINUTE_MS
    await world.command(id, 'stop')
    await world.untilSettled(id, 'stopped')
    expect((await changesAfter(id, 10)).desiredState).toBe('archived')
  })
})

describe('what was recovered from an error', () => {
  it.each([
    ['stopped', 'archived', { autoArchiveMinutes: 5 }],
    ['stopped', 'destroyed', { autoDeleteMinutes: 5 }],
    ['archived', 'destroyed', { autoDeleteMinutes: 5 }],
  ] as const)('is %s from then on, and %s an interval later', async (recovered, after, interval) => {
    const id = await world.stopped('all', off)
    if (recovered === 'archived') {
      await world.command(id, 'archive')
      await world.untilSettled(id, 'archived')
    }
    const [verb, command] = recovered === 'archived' ? (['make', 'start'] as const) : (['export', 'archive'] as const)
    world.runner.fail(verb, new RunnerCallError(400, 'cannot'))
    await world.command(id, command, command === 'start' ? { runnerId: world.runnerId } : {})
    await world.untilSettled(id, 'error')
    await world.store.set(id, world.organizationId, interval)
    clock += 5 * MINUTE_MS
    await world.command(id, 'recoverStopped')
    await world.untilSettled(id, recovered)
    expect((await changesAfter(id, 5)).desiredState).toBe(after)
    await world.untilSettled(id, after)
  })
})

describe('autoarchive of what could not be archived', () => {
  it('waits for the pause to be over, and counts from the same stop', async () => {
    const id = await world.stopped('all', { ...off, autoArchiveMinutes: 10 })
    const stoppedAt = new Date(clock)
    world.objects.failures = 1_000
    expect((await changesAfter(id, 10)).desiredState).toBe('archived')
    await world.untilSettled(id, 'stopped')
    world.objects.failures = 0
    expect(await world.read(id)).toMatchObject({ stoppedAt, nextAttemptAt: new Date(clock + ARCHIVE_PAUSE_MS) })
    expect((await changesAfter(id, ARCHIVE_PAUSE_MS / MINUTE_MS)).desiredState).toBe('archived')
    await world.untilSettled(id, 'archived')
  })

  it('begins anew with the next stop', async () => {
    const id = await world.stopped('all', { ...off, autoArchiveMinutes: 10 })
    world.objects.failures = 1_000
    await changesAfter(id, 10)
    await world.untilSettled(id, 'stopped')
    world.objects.failures = 0
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    await world.command(id, 'stop')
    await world.untilSettled(id, 'stopped')
    expect((await changesAfter(id, 10)).desiredState).toBe('archived')
  })
})

describe('autodelete', () => {
  it('deletes what was stopped for its interval, archived meanwhile or not', async () => {
    const columns = { ...off, autoArchiveMinutes: 10, autoDeleteMinutes: 20 }
    const id = await world.stopped('all', columns)
    clock += 15 * MINUTE_MS
    await createTimers().pass()
    await world.untilSettled(id, 'archived')
    clock += 5 * MINUTE_MS
    await createTimers().pass()
    await world.untilSettled(id, 'destroyed')
    await world.untilSwept()
    expect(world.objects.keysOf(id)).toEqual([])
  })

  it('goes before archiving when both are due', async () => {
    const id = await world.stopped('all', { ...off, autoArchiveMinutes: 5, autoDeleteMinutes: 5 })
    expect((await changesAfter(id, 5)).desiredState).toBe('destroyed')
  })

  it('with 0 deletes what had ended by itself', async () => {
    const id = await world.stopped('all', off)
    await world.store.set(id, world.organizationId, { autoDeleteMinutes: 0 })
    await createTimers().pass()
    await world.untilSettled(id, 'destroyed')
  })
})

it('a time to live ends what is started, stopped, archived or in error alike', async () => {
  const autoDestroyAt = new Date(clock + 90 * MINUTE_MS)
  const columns = { ...off, autoDestroyAt }
  const ids = [await world.started(columns), await world.stopped('b', columns), await world.stopped('c', columns)]
  await world.command(ids[2] ?? '', 'archive')
  await world.untilSettled(ids[2] ?? '', 'archived')
  const failed = await world.started(columns)
  await world.database.sql`update sandboxes set state = 'error', error_reason = 'x' where id = ${failed}`
  ids.push(failed)
  clock = autoDestroyAt.getTime() - 1
  await createTimers().pass()
  for (const id of ids) expect((await world.read(id)).desiredState).not.toBe('destroyed')
  clock += 1
  await createTimers().pass()
  for (const id of ids) await world.untilSettled(id, 'destroyed')
})

it('passes of many replicas at once do everything once', async () => {
  const ids = await Promise.all(Array.from({ length: 30 }, () => world.started({ ...off, autoStopMinutes: 15 })))
  clock += 15 * MINUTE_MS
  await Promise.all(Array.from({ length: 5 }, () => createTimers().pass()))
  for (const id of ids) {
    await world.untilSettled(id, 'stopped')
    expect((await world.store.events(id)).filter(({ event }) => event === 'stop')).toHaveLength(1)
  }
})

it('one that cannot be changed does not keep the others', async () => {
  const ids = [await world.started({ ...off, autoStopMinutes: 1 }), await world.started({ ...off, autoStopMinutes: 2 })]
  const { change } = world.store
  world.store.change = (request) => (request.id === ids[0] ? Promise.reject(new Error('planned')) : change(request))
  clock += 2 * MINUTE_MS
  await createTimers().pass()
  expect((await world.read(ids[1] ?? '')).desiredState).toBe('stopped')
})

it('leaves alone what a snapshot is being made of, until that is done or its time to live is over', async () => {
  const { database } = world
  const autoDestroyAt = new Date(clock + 60 * MINUTE_MS)
  const columns = { autoStopMinutes: 1, autoArchiveMinutes: 1, autoDeleteMinutes: 1, autoDestroyAt }
  const running = await world.started({ ...columns, autoDeleteMinutes: 0 })
  const ids = [running, await world.stopped('a', columns), await world.stopped('b', columns)]
  await database.sql`update sandboxes set snapshotting_id = gen_random_uuid()`
  clock += 5 * MINUTE_MS
  await createTimers().pass()
  expect((await Promise.all(ids.map(world.read))).map((row) => row.desiredState)).toEqual([
    ...['started', 'stopped', 'stopped'],
  ])
  await database.sql`update sandboxes set snapshotting_id = null where id <> ${ids[2] ?? ''}`
  await createTimers().pass()
  for (const id of ids.slice(0, 2)) await world.untilSettled(id, 'destroyed')
  expect((await world.read(ids[2] ?? '')).desiredState).toBe('stopped')
  clock = autoDestroyAt.getTime()
  await createTimers().pass()
  await world.untilSettled(ids[2] ?? '', 'destroyed')
})

it('what the queries find is due by the rows, whatever the settings', async () => {
  const { database, store, organizationId } = world
  const intervals = [-1, 0, 1, 60, 2_147_483_647]
  const id = await world.stopped('all', off)
  for (const minutes of intervals) {
    const positive = Math.max(0, minutes)
    const columns = { autoStopMinutes: positive, autoArchiveMinutes: positive, autoDeleteMinutes: minutes }
    await store.set(id, organizationId, { ...columns, autoDestroyAt: minutes < 0 ? null : new Date(clock + minutes) })
    const row = await world.read(id)
    for (const offset of [-1, 0, 1, 60 * MINUTE_MS]) {
      for (const kind of kinds) {
        const found = await createTimerStore(database).due(kind, new Date(clock + offset), 10)
        expect(found.includes(id), `${kind} ${minutes} ${offset}`).toBe(isDue(row, kind, clock + offset))
      }
    }
  }
})

it('knows when the next is due, to the millisecond, and nothing of what is due already', async () => {
  const timers = createTimerStore(world.database)
  expect(await timers.next(new Date(clock))).toBeUndefined()
  await world.started({ ...off, autoStopMinutes: 15 })
  expect(await timers.next(new Date(clock))).toBe(clock + 15 * MINUTE_MS)
  await world.started({ ...off, autoDestroyAt: new Date(clock + 61_234) })
  expect(await timers.next(new Date(clock))).toBe(clock + 61_234)
  await world.stopped('all', { ...off, autoArchiveMinutes: 10, autoDeleteMinutes: 1 })
  expect(await timers.next(new Date(clock))).toBe(clock + MINUTE_MS)
  expect(await timers.next(new Date(clock + MINUTE_MS))).toBe(clock + 61_234)
  expect(await timers.next(new Date(clock + 61_234))).toBe(clock + 10 * MINUTE_MS)
  expect(await timers.next(new Date(clock + 15 * MINUTE_MS))).toBeUndefined()
})

it.each(kinds)('%s looks at an index alone', async (kind) => {
  const { db, sql } = world.database
  const at = new Date(clock)
  const name = kind.replace(/[A-Z]/, (letter) => `_${letter.toLowerCase()}`)
  for (const query of [dueQuery(db, kind, { now: at, limit: 10 }).toSQL(), nextQuery(db, kind, at).toSQL()]) {
    const plan = await sql.begin(async (tx) => {
      // Otherwise PostgreSQL would read a table as small as this as a whole.
      await tx`set local enable_seqscan = off`
      // The order in which an index is read does not matter here.
      await tx`set local enable_bitmapscan = off`
      return await tx.unsafe(`explain ${query.sql}`, query.params as string[])
    })
    expect(JSON.stringify(plan)).toMatch(new RegExp(`Index (Only )?Scan using sandboxes_${name}_index`))
  }
})
