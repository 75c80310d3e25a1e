import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RunnerLossWorld } from '../../testing/runner-loss-world.ts'
import { createRunnerLossWorld, LOST_AFTER_MS, STEP_MS } from '../../testing/runner-loss-world.ts'
import { until } from '../../testing/until.ts'
import type { RunnerLoss } from './runner-loss.ts'

let world: RunnerLossWorld

beforeEach(async () => {
  world = await createRunnerLossWorld()
})
afterEach(() => world[Symbol.asyncDispose]())

describe('a runner', () => {
  it('L1: is lost when nothing was heard of it for the whole time, and not before', async () => {
    world.startReplica()
    const id = await world.started()
    const watching = world.watch()
    await world.pass(watching, LOST_AFTER_MS)
    await world.hear()
    await world.disconnect()
    await world.pass(watching, LOST_AFTER_MS - STEP_MS)
    expect((await world.read(id)).lost).toBe(false)
    await world.pass(watching, 2 * STEP_MS)
    expect(await world.shown(id)).toEqual({
      state: 'started',
      desiredState: 'started',
      lost: true,
      recoverableTo: null,
    })
    expect((await world.store.events(id)).at(-1)).toMatchObject({
      ...{ event: 'lost', fromState: 'started', toState: 'unknown', actorKind: 'reconciler' },
      reason: 'its runner is lost',
    })
  })

  it('L1: is lost as well when its connection died with a replica', async () => {
    world.startReplica()
    const id = await world.started()
    await world.pass(world.watch(), LOST_AFTER_MS + STEP_MS)
    expect((await world.read(id)).lost).toBe(true)
  })

  it.each<[string, (watching: RunnerLoss) => Promise<void>]>([
    ['whoever looks has just begun to', async () => undefined],
    ['nobody could look for a while', async (watching) => world.pass(watching, 10 * STEP_MS)],
  ])('L1: is not lost because %s', async (_what, before) => {
    world.startReplica()
    const id = await world.started()
    const watching = world.watch()
    await before(watching)
    await world.disconnect()
    world.clock += 3 * LOST_AFTER_MS
    await world.pass(watching, LOST_AFTER_MS - STEP_MS)
    expect((await world.read(id)).lost).toBe(false)
    await world.pass(watching, STEP_MS)
    expect((await world.read(id)).lost).toBe(true)
  })

  it('L1: is not lost because a clock was set back', async () => {
    world.startReplica()
    const id = await world.started()
    const watching = world.watch()
    await world.pass(watching, LOST_AFTER_MS)
    await world.disconnect()
    world.clock -= LOST_AFTER_MS
    await world.pass(watching, LOST_AFTER_MS - STEP_MS)
    expect((await world.read(id)).lost).toBe(false)
  })

  it('L1: that comes and goes is not lost', async () => {
    world.startReplica()
    const id = await world.started()
    const watching = world.watch()
    for (let time = 0; time < 3; time++) {
      await world.disconnect()
      await world.pass(watching, LOST_AFTER_MS - STEP_MS)
      await world.connect()
    }
    expect((await world.store.events(id)).map(({ event }) => event)).not.toContain('lost')
  })

  it('L8: is noticed by two replicas at once, and each sandbox is told once', async () => {
    world.startReplica()
    const ids = [await world.started(), await world.started(), await world.started()]
    await world.disconnect()
    const both = [world.watch(), world.watch()]
    for (let time = 0; time <= LOST_AFTER_MS; time += STEP_MS) {
      world.clock += STEP_MS
      await Promise.all(both.map((each) => each.pass()))
    }
    for (const id of ids) {
      const told = (await world.store.events(id)).filter(({ event }) => event === 'lost')
      expect(told).toHaveLength(1)
    }
  })
})

describe('an earlier connection of a runner', () => {
  it('L3: reports nothing any more, since what it knows may be older than the newest start', async () => {
    world.startReplica()
    const id = await world.started()
    const earlier = world.connected()
    await world.connect()
    const statuses = [{ sandboxId: id, state: 'stopped' as const }]
    await expect(world.sync.compare(earlier, statuses)).rejects.toThrow('another connection speaks for this runner')
    expect((await world.read(id)).state).toBe('started')
    await world.sync.compare(world.connected(), statuses)
    expect((await world.read(id)).state).toBe('stopped')
  })

  it('L3: brings back nothing that is lost', async () => {
    world.startReplica()
    const id = await world.started()
    await world.lose()
    const earlier = world.connected()
    await world.connect()
    const statuses = [{ sandboxId: id, state: 'running' as const }]
    await expect(world.sync.compare(earlier, statuses)).rejects.toThrow('another connection speaks for this runner')
    expect((await world.read(id)).lost).toBe(true)
    await world.sync.compare(world.connected(), statuses)
    expect((await world.read(id)).lost).toBe(false)
  })
})

describe('a runner that is compared for longer than one is silent', () => {
  /** Has the runner return with a removal that takes long; `during` it, time passes and lost runners are looked for. */
  async function returning(during: (watching: RunnerLoss, id: string) => Promise<void>): Promise<string> {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    const deleted = await world.started()
    await world.lose()
    await world.command(deleted, 'delete')
    await world.pass(world.watch(), LOST_AFTER_MS)
    const trap = world.runner.trap('remove', 'before')
    const back = world.comeBack()
    await trap.reached
    await during(world.watch(), id)
    trap.spring()
    await back
    return id
  }

  it('L1: is not lost meanwhile, so nothing there is recovered elsewhere', async () => {
    const id = await returning(async (watching, reached) => {
      for (let time = 0; time <= LOST_AFTER_MS + STEP_MS; time += STEP_MS) {
        world.clock += STEP_MS
        await world.untilHeard()
        await watching.pass()
      }
      expect((await world.command(reached, 'recover'))?.outcome.kind).toBe('refused')
    })
    expect(await world.shown(id)).toMatchObject({ state: 'started', desiredState: 'started', lost: false })
    expect(
      (await world.store.events(id)).filter(({ event }) => event === 'lost' || event === 'lostWithBackup'),
    ).toHaveLength(1)
  })

  it('L3: leaves nothing lost, though that could not be written down', async () => {
    const id = await returning(async (_watching, reached) => {
      // Another replica writes this after the database was away for so long.
      await world.database.sql`update sandboxes set lost = true, recoverable_to = 'archived' where id = ${reached}`
    })
    expect(await world.shown(id)).toMatchObject({ state: 'started', desiredState: 'started', lost: false })
  })
})

describe('what is on a lost runner', () => {
  it('L2, L3: is unknown, and goes on as it was when the runner returns', async () => {
    world.startReplica()
    const started = await world.started()
    const ended = await world.started()
    const stopped = await world.withBackup('files')
    await world.lose()
    expect(await world.shown(stopped)).toMatchObject({ state: 'stopped', lost: true, recoverableTo: 'archived' })
    for (const command of ['start', 'stop', 'archive', 'resize', 'recover'] as const) {
      expect((await world.command(started, command))?.outcome.kind).toBe('refused')
    }
    const before = await world.read(started)
    world.runner.get(ended).state = 'stopped'
    await world.comeBack()
    expect(await world.shown(started)).toEqual({
      state: 'started',
      desiredState: 'started',
      lost: false,
      recoverableTo: null,
    })
    expect((await world.read(started)).toolboxTokenHash).toBe(before.toolboxTokenHash)
    expect(await world.shown(ended)).toMatchObject({ state: 'stopped', desiredState: 'stopped', lost: false })
    expect(await world.shown(stopped)).toMatchObject({ state: 'stopped', lost: false, recoverableTo: null })
    expect((await world.store.events(started)).at(-1)).toMatchObject({ event: 'reached', toState: 'started' })
  })

  it('L3: has what was asked for before done when the runner returns', async () => {
    world.startReplica()
    const id = await world.started()
    world.runners.delete(world.runnerId)
    await world.command(id, 'stop')
    await world.lose()
    expect(await world.shown(id)).toMatchObject({ state: 'started', desiredState: 'stopped', lost: true })
    await world.comeBack()
    await world.untilSettled(id, 'stopped')
  })

  it('L3: is in the same error as before', async () => {
    world.startReplica()
    const id = await world.stopped('files')
    world.runner.fail('start', new Error('no'), 3)
    await world.command(id, 'start')
    await world.untilSettled(id, 'error')
    const { errorReason } = await world.read(id)
    await world.lose()
    expect((await world.read(id)).lost).toBe(true)
    await world.comeBack()
    expect(await world.read(id)).toMatchObject({ state: 'error', recoverableTo: 'stopped', errorReason, lost: false })
  })

  it('L3: stays unknown when the runner returns without it, and is recovered there from its backup', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    const bare = await world.stopped('files')
    await world.lose()
    world.runner.sandboxes.clear()
    await world.comeBack()
    expect(await world.shown(id)).toMatchObject({ state: 'stopped', lost: true, recoverableTo: 'archived' })
    expect(await world.shown(bare)).toMatchObject({ state: 'stopped', lost: true, recoverableTo: null })
    await world.command(id, 'recover', { runnerId: world.runnerId })
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id)).toMatchObject({ files: 'then', state: 'running' })
  })

  it('L9: is gone for whoever deletes it, and removed there when the runner returns', async () => {
    world.startReplica()
    const deleted = await world.started()
    const deletedLater = await world.started()
    world.runners.delete(world.runnerId)
    await world.command(deleted, 'delete')
    await world.lose()
    expect((await world.read(deleted)).state).toBe('destroyed')
    await world.command(deletedLater, 'delete')
    await world.pass(world.watch(), LOST_AFTER_MS)
    expect((await world.read(deletedLater)).state).toBe('destroyed')
    expect(await world.formerPlacements(deleted)).toMatchObject([{ cleared_at: null }])
    expect(world.runner.sandboxes.size).toBe(2)
    await world.comeBack()
    expect(world.runner.sandboxes.size).toBe(0)
    expect(await world.formerPlacements(deleted)).toMatchObject([{ cleared_at: expect.any(String) }])
  })

  it('L10: is archived when its files were whole in the object store', async () => {
    world.startReplica()
    const id = await world.stopped('all of it')
    const trap = world.runner.trap('remove', 'before')
    await world.command(id, 'archive')
    await trap.reached
    await world.lose(trap)
    expect(await world.shown(id)).toMatchObject({ state: 'archived', desiredState: 'archived', lost: false })
    await world.comeBack()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    world.otherId = await world.addRunner('other')
    await world.command(id, 'start', { runnerId: world.otherId })
    await world.untilSettled(id, 'started')
    expect(world.runners.get(world.otherId)?.get(id).files).toBe('all of it')
  })

  it('R5a: leaves nothing there once it is archived, though its runner could not remove it then', async () => {
    world.startReplica({ maxAttempts: 2 })
    const id = await world.stopped('all of it')
    world.runner.fail('remove', new Error('its disk is busy'), 2)
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    expect(world.runner.sandboxes.has(id)).toBe(true)
    await world.sweep()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect(await world.formerPlacements(id)).toMatchObject([{ cleared_at: expect.any(String) }])
  })

  it('L2: waits for the runner when its archive was not whole', async () => {
    world.startReplica()
    const id = await world.stopped('all of it')
    const trap = world.runner.trap('export', 'before')
    await world.command(id, 'archive')
    await trap.reached
    await world.lose(trap)
    expect(await world.shown(id)).toMatchObject({ state: 'stopped', desiredState: 'archived', lost: true })
    await world.comeBack()
    await world.untilSettled(id, 'archived')
  })
})

describe('what its runner does not have any more', () => {
  it.each(['start', 'archive'] as const)(
    'L2: is unknown once that is found out by %s, and recoverable where it has a backup',
    async (command) => {
      world.startReplica()
      const id = await world.withBackup('then')
      const bare = await world.stopped('files')
      const there = new Map(world.runner.sandboxes)
      world.runner.sandboxes.clear()
      for (const each of [id, bare]) {
        world.clock += 1
        await world.command(each, command)
        await until('it is found out', async () => (await world.read(each)).lost)
      }
      expect(await world.shown(id)).toMatchObject({ state: 'stopped', recoverableTo: 'archived' })
      expect(await world.shown(bare)).toMatchObject({ state: 'stopped', recoverableTo: null })
      // Its disk was not mounted.
      for (const [each, sandbox] of there) world.runner.sandboxes.set(each, sandbox)
      world.runners.delete(world.runnerId)
      await world.comeBack()
      for (const each of [id, bare]) await world.untilSettled(each, command === 'start' ? 'started' : 'archived')
    },
  )
})

describe('a runner that was removed', () => {
  it('L11: leaves archived what has a backup, and in error what has none', async () => {
    world.startReplica()
    const kept = await world.withBackup('then')
    const bare = await world.started()
    await world.lose()
    const creating = await world.insert()
    await world.database.sql`update runners set removed_at = now(), last_seen_at = null where id = ${world.runnerId}`
    await world.pass(world.watch(), 0)
    expect(await world.read(kept)).toMatchObject({ state: 'archived', desiredState: 'archived', runnerId: null })
    expect(await world.read(bare)).toMatchObject({
      ...{ state: 'error', recoverableTo: null },
      errorReason: 'Its runner was lost and removed, and there is no backup of its files',
    })
    expect(await world.read(creating)).toMatchObject({ state: 'error', recoverableTo: null })
    await world.command(bare, 'delete')
    await world.pass(world.watch(), 0)
    expect((await world.read(bare)).state).toBe('destroyed')
  })
})
