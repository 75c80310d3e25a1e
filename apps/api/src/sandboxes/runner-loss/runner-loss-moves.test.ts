import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StepVerb } from '../../testing/memory-runner.ts'
import type { RunnerLossWorld } from '../../testing/runner-loss-world.ts'
import { createRunnerLossWorld, LOST_AFTER_MS, STEP_MS } from '../../testing/runner-loss-world.ts'
import { MOVE_WAIT_MS } from './runner-loss.ts'
import { createRunnerLossStore } from './runner-loss-store.ts'

let world: RunnerLossWorld

beforeEach(async () => {
  world = await createRunnerLossWorld()
})
afterEach(() => world[Symbol.asyncDispose]())

describe('what was being made on a lost runner', () => {
  it.each([
    ['make', 'before'],
    ['make', 'after'],
    ['start', 'before'],
    ['start', 'after'],
  ] satisfies [StepVerb, 'before' | 'after'][])(
    'L4, L6: is made elsewhere, with another token, when it was lost at %s (%s)',
    async (verb, at) => {
      world.startReplica()
      world.otherId = await world.addRunner('other')
      const trap = world.runner.trap(verb, at)
      const id = await world.insert()
      await trap.reached
      const { toolboxTokenHash } = await world.read(id)
      await world.lose(trap)
      await world.untilSettled(id, 'started')
      const moved = await world.read(id)
      expect(moved.runnerId).toBe(world.otherId)
      expect(moved.toolboxTokenHash).not.toBe(toolboxTokenHash)
      await world.comeBack()
      expect([world.runner.sandboxes.has(id), world.runners.get(world.otherId)?.get(id).state]).toEqual([
        false,
        'running',
      ])
      expect((await world.read(id)).state).toBe('started')
    },
  )

  it.each([
    ['make', 'after'],
    ['import', 'before'],
    ['import', 'after'],
  ] satisfies [StepVerb, 'before' | 'after'][])(
    'L4: is restored elsewhere when it was lost at %s (%s)',
    async (verb, at) => {
      world.startReplica()
      const id = await world.stopped('all of it')
      await world.command(id, 'archive')
      await world.untilSettled(id, 'archived')
      world.otherId = await world.addRunner('other')
      const trap = world.runner.trap(verb, at)
      await world.command(id, 'start', { runnerId: world.runnerId })
      await trap.reached
      await world.lose(trap)
      await world.untilSettled(id, 'started')
      expect(world.runners.get(world.otherId)?.get(id)).toMatchObject({ files: 'all of it', state: 'running' })
      await world.comeBack()
      expect(world.runner.sandboxes.has(id)).toBe(false)
    },
  )

  it('L4: is given up in the end when no other runner has room, with its archive kept', async () => {
    world.startReplica()
    const archived = await world.stopped('all of it')
    await world.command(archived, 'archive')
    await world.untilSettled(archived, 'archived')
    world.runners.delete(world.runnerId)
    await world.command(archived, 'start', { runnerId: world.runnerId })
    const creating = await world.insert()
    await world.lose()
    expect((await world.read(creating)).state).toBe('creating')
    await world.pass(world.watch(), LOST_AFTER_MS + MOVE_WAIT_MS)
    expect(await world.read(creating)).toMatchObject({
      ...{ state: 'error', recoverableTo: null },
      errorReason: 'Its runner was lost while it was creating, and no other could take it',
    })
    expect(await world.read(archived)).toMatchObject({ state: 'error', recoverableTo: 'archived', runnerId: null })
  })

  it('L5: stays where it is when the runner has returned meanwhile', async () => {
    world.otherId = await world.addRunner('other')
    const id = await world.insert()
    await world.disconnect()
    const { database, changes } = world
    const losses = createRunnerLossStore(database, changes)
    const row = await world.read(id)
    const silence = { heardBefore: new Date(world.clock + 1), seenBefore: new Date(world.clock + 1) }
    await world.connect()
    world.clock += 1
    const move = { row, silence: { ...silence, heardBefore: new Date(world.clock - 1) }, at: new Date(world.clock) }
    expect(await losses.move({ ...move, place: async () => world.otherId ?? '' })).toBe(false)
    expect((await world.read(id)).runnerId).toBe(world.runnerId)
  })
})

describe('what is recovered elsewhere', () => {
  /** Recovers a sandbox as the service does after picking a runner. */
  async function recover(id: string): Promise<string> {
    world.otherId ??= await world.addRunner('other')
    await world.command(id, 'recover', { runnerId: world.otherId })
    return world.otherId
  }

  it('L6, L7: has the files of its backup there, and is removed from the runner that returns', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    world.runner.get(id).files = 'now'
    const { toolboxTokenHash } = await world.read(id)
    await world.lose()
    const elsewhere = await recover(id)
    expect((await world.read(id)).toolboxTokenHash).toBeNull()
    await world.untilSettled(id, 'started')
    expect(world.runners.get(elsewhere)?.get(id)).toMatchObject({ files: 'then', state: 'running' })
    expect((await world.read(id)).toolboxTokenHash).not.toBe(toolboxTokenHash)
    expect(await world.store.findByToolboxToken(toolboxTokenHash ?? '')).toBeUndefined()
    expect(world.runner.get(id).state).toBe('running')
    await world.comeBack()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect(await world.shown(id)).toMatchObject({ state: 'started', desiredState: 'started', lost: false })
    // L7: an older disk brings it back, and it is removed again.
    world.runner.sandboxes.set(id, { state: 'running', token: 't', files: 'now', resources: {}, network: undefined })
    await world.disconnect()
    await world.comeBack()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect((await world.read(id)).state).toBe('started')
  })

  it.each([
    ['make', 'before'],
    ['make', 'after'],
    ['import', 'before'],
    ['import', 'after'],
    ['start', 'before'],
    ['start', 'after'],
  ] satisfies [StepVerb, 'before' | 'after'][])('R2, L6: is so though a replica dies at %s (%s)', async (verb, at) => {
    const first = world.startReplica()
    const id = await world.withBackup('then')
    await world.lose()
    world.otherId = await world.addRunner('other')
    const trap = world.runners.get(world.otherId)?.trap(verb, at)
    await recover(id)
    await trap?.reached
    await first.die()
    world.startReplica()
    await world.untilSettled(id, 'started')
    trap?.spring()
    expect(world.runners.get(world.otherId)?.get(id)).toMatchObject({ files: 'then', state: 'running' })
    await world.comeBack()
    expect(world.runner.sandboxes.has(id)).toBe(false)
  })

  it('L6: and is lost there as well is recovered once more, on the first runner', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.lose()
    const elsewhere = await recover(id)
    await world.untilSettled(id, 'started')
    await world.comeBack()
    world.runners.delete(elsewhere)
    await world.pass(world.watch(), LOST_AFTER_MS + STEP_MS)
    await world.database.sql`update sandboxes set lost = true, recoverable_to = 'archived' where id = ${id}`
    await world.command(id, 'recover', { runnerId: world.runnerId })
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id)).toMatchObject({ files: 'then', state: 'running' })
    expect(await world.formerPlacements(id)).toMatchObject([{ runner_id: elsewhere }])
  })

  it('L7: is not restored into what still runs there', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    world.otherId = await world.addRunner('other')
    const other = world.runners.get(world.otherId)
    other?.sandboxes.set(id, { state: 'running', token: 'old', files: 'old', resources: {}, network: undefined })
    await world.lose()
    await recover(id)
    await world.untilSettled(id, 'started')
    expect(other?.get(id).files).toBe('then')
    expect(other?.get(id).token).not.toBe('old')
  })

  it('L4: is archived, on no runner, when it is not to be started', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.lose()
    await world.command(id, 'recoverStopped')
    expect(await world.read(id)).toMatchObject({ state: 'archived', desiredState: 'archived', runnerId: null })
    world.runner.get(id).files = 'now'
    await world.comeBack()
    await world.sweep()
    expect(world.runner.get(id)).toMatchObject({ state: 'stopped', files: 'now' })
    // L7: restored on that very runner, it has the files of its backup.
    await world.command(id, 'start', { runnerId: world.runnerId })
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe('then')
    await world.sweep()
    expect(world.runner.get(id).state).toBe('running')
    expect(await world.formerPlacements(id)).toEqual([])
  })

  it('L7: stays, stopped, on the runner that returns until it is restored elsewhere', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    world.runner.get(id).files = 'now'
    await world.lose()
    world.otherId = await world.addRunner('other')
    const trap = world.runners.get(world.otherId)?.trap('make', 'before')
    await recover(id)
    await trap?.reached
    await world.comeBack()
    expect(world.runner.get(id)).toMatchObject({ state: 'stopped', files: 'now' })
    const [key = ''] = world.objects.keysOf(id)
    const whole = world.objects.objects.get(key) ?? Buffer.alloc(0)
    world.objects.objects.set(key, Buffer.from('#no!'))
    trap?.spring()
    await world.untilSettled(id, 'error')
    await world.sweep()
    expect(world.runner.get(id)).toMatchObject({ state: 'stopped', files: 'now' })
    world.objects.objects.set(key, whole)
    await recover(id)
    await world.untilSettled(id, 'started')
    await world.sweep()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect(world.runners.get(world.otherId)?.get(id)).toMatchObject({ state: 'running', files: 'then' })
    expect(await world.formerPlacements(id)).toMatchObject([
      { runner_id: world.runnerId, cleared_at: expect.any(String) },
    ])
  })

  it('L7: stays there, too, when the runner returned without its disk before', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.lose()
    await world.command(id, 'recoverStopped')
    const there = world.runner.get(id)
    world.runner.sandboxes.clear()
    await world.comeBack()
    expect(await world.formerPlacements(id)).toMatchObject([{ cleared_at: expect.any(String) }])
    world.runner.sandboxes.set(id, there)
    await world.comeBack()
    expect(world.runner.sandboxes.has(id)).toBe(true)
    world.otherId = await world.addRunner('other')
    await world.command(id, 'start', { runnerId: world.otherId })
    await world.untilSettled(id, 'started')
    await world.sweep()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect(await world.formerPlacements(id)).toMatchObject([{ cleared_at: expect.any(String) }])
  })

  it('L7: is removed there later when that failed as the runner returned', async () => {
    world.startReplica()
    const id = await world.withBackup('then')
    await world.lose()
    await recover(id)
    await world.untilSettled(id, 'started')
    world.runner.fail('remove', new Error('its disk is busy'), 2)
    await world.comeBack()
    await world.sweep()
    expect(world.runner.sandboxes.has(id)).toBe(true)
    await world.sweep()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect(await world.formerPlacements(id)).toMatchObject([{ cleared_at: expect.any(String) }])
  })
})
