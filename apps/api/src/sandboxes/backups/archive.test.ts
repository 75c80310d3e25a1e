import { TunnelError } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RunnerCallError } from '../../runners/runner-answer.ts'
import { RunnerAwayError } from '../../snapshots/snapshot-steps.ts'
import type { StepVerb } from '../../testing/memory-runner.ts'
import type { ReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { until } from '../../testing/until.ts'

let world: ReconciledSandboxes

beforeEach(async () => {
  world = await createReconciledSandboxes()
})
afterEach(() => world[Symbol.asyncDispose]())

async function archived(files: string): Promise<string> {
  const id = await world.stopped(files)
  await world.command(id, 'archive')
  await world.untilSettled(id, 'archived')
  return id
}

/** Fails to archive until the tries are used up. */
async function failToArchive(id: string): Promise<void> {
  world.objects.failures = 1_000
  await world.command(id, 'archive')
  await until('it is given up', async () => {
    const { state, desiredState, backupState } = await world.read(id)
    return state === 'stopped' && desiredState === 'stopped' && backupState === 'Error'
  })
  world.objects.failures = 0
}

/** Asks for a start as the service does after picking a runner. */
function start(id: string) {
  return world.command(id, 'start', { runnerId: world.runnerId })
}

describe('archiving', () => {
  it('R10, S11: frees the runner once the files are in the object store', async () => {
    world.startReplica()
    const id = await archived('all of it')
    expect(world.runner.sandboxes.has(id)).toBe(false)
    const row = await world.read(id)
    expect(row).toMatchObject({ runnerId: null, backupState: 'Completed', leaseOwner: null, toolboxTokenHash: null })
    expect(row.stoppedAt?.getTime()).toBeLessThan(row.changedAt.getTime())
    expect(world.objects.filesOf(id)).toEqual(['all of it'])
    expect((await world.store.events(id)).slice(-2)).toMatchObject([
      { event: 'archive', fromState: 'stopped', toState: 'archiving' },
      { event: 'saved', fromState: 'archiving', toState: 'archived' },
    ])
  })

  it('and a start bring back the same files', async () => {
    world.startReplica()
    const id = await archived('all of it')
    await start(id)
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id)).toMatchObject({ files: 'all of it', state: 'running' })
    expect((await world.store.events(id)).slice(-3)).toMatchObject([
      { event: 'start', toState: 'restoring' },
      { event: 'restored', fromState: 'restoring', toState: 'starting' },
      { event: 'ready', toState: 'started' },
    ])
    expect(await world.read(id)).toMatchObject({ stoppedAt: null, backupState: 'Completed' })
  })

  it('again keeps the newest files alone', async () => {
    world.startReplica()
    const id = await archived('first')
    await start(id)
    await world.untilSettled(id, 'started')
    world.runner.get(id).files = 'second'
    await world.command(id, 'stop')
    await world.untilSettled(id, 'stopped')
    expect(await world.read(id)).toMatchObject({ backupState: 'None', backupId: expect.any(String) })
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    await world.untilSwept()
    expect(world.objects.filesOf(id)).toEqual(['second'])
  })

  it.each([
    ['export', 'before'],
    ['export', 'after'],
    ['remove', 'before'],
    ['remove', 'after'],
  ] satisfies [StepVerb, 'before' | 'after'][])(
    'R2: is finished by another replica when one dies %s it (%s)',
    async (verb, at) => {
      const first = world.startReplica()
      const id = await world.stopped('all of it')
      const trap = world.runner.trap(verb, at)
      await world.command(id, 'archive')
      await trap.reached
      await first.die()
      world.startReplica()
      await world.untilSettled(id, 'archived')
      trap.spring()
      await world.untilSwept()
      expect(world.objects.keysOf(id)).toHaveLength(1)
      await start(id)
      await world.untilSettled(id, 'started')
      expect(world.runner.get(id).files).toBe('all of it')
    },
  )

  it('is tried again while the object store is away', async () => {
    world.startReplica()
    world.objects.failures = 2
    const id = await archived('all of it')
    expect(world.objects.keysOf(id)).toHaveLength(1)
  })

  it('R5a, R10: that never comes through leaves it stopped with all files, and can be started or asked for again', async () => {
    world.startReplica()
    const id = await world.stopped('all of it')
    await failToArchive(id)
    expect(await world.read(id)).toMatchObject({ errorReason: null, leaseOwner: null, runnerId: world.runnerId })
    expect((await world.store.events(id)).at(-1)).toMatchObject({
      ...{ event: 'unsaved', fromState: 'archiving', toState: 'stopped' },
      reason: 'The sandbox could not be archived: the object store failed',
    })
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe('all of it')
    await world.command(id, 'stop')
    await world.untilSettled(id, 'stopped')
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    await world.untilSwept()
    expect(world.objects.filesOf(id)).toEqual(['all of it'])
  })

  it.each([1, 2])(
    'R5a, R10: whose runner does not say that the last files have gone is archived, and cleared later (tries: %i)',
    async (maxAttempts) => {
      world.startReplica({ maxAttempts })
      const id = await world.stopped('all of it')
      const remove = world.runner.remove.bind(world.runner)
      world.runner.remove = async (...call) => {
        await remove(...call)
        throw new TunnelError('CANCELLED', 'no answer')
      }
      await world.command(id, 'archive')
      await world.untilSettled(id, 'archived')
      expect(await world.read(id)).toMatchObject({ runnerId: null, backupState: 'Completed', leaseOwner: null })
      expect(await world.database.sql`select cleared_at from former_placements`).toEqual([{ cleared_at: null }])
      world.runner.remove = remove
      await start(id)
      await world.untilSettled(id, 'started')
      expect(world.runner.get(id).files).toBe('all of it')
    },
  )

  it('R5a: is tried for as long as it gets on', async () => {
    world.startReplica({ maxAttempts: 3 })
    const files = 'in parts of four bytes each, of which there are many'
    const id = await world.stopped(files)
    const putPart = world.objects.putPart.bind(world.objects)
    let puts = 0
    world.objects.putPart = async (...part) => {
      puts += 1
      if (puts % 2 === 0) throw new Error('the object store failed')
      return await putPart(...part)
    }
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    expect(puts).toBeGreaterThan(20)
    expect(world.objects.stored).toBe(files.length + 1)
    expect(world.objects.filesOf(id)).toEqual([files])
  })

  it('R10: does not believe an object store that gives back other bytes', async () => {
    world.startReplica()
    const id = await world.stopped('all of it')
    const complete = world.objects.complete.bind(world.objects)
    world.objects.complete = async (target, parts) => {
      await complete(target, parts)
      world.objects.objects.set(target.key, Buffer.from('#all of It'))
      return true
    }
    await world.command(id, 'archive')
    await world.untilSettled(id, 'error')
    expect((await world.read(id)).errorReason).toContain('other bytes')
    expect(world.runner.get(id).files).toBe('all of it')
    await until('nothing of it is kept', async () => world.objects.keysOf(id).length === 0)
  })

  it('R6: gives way to a deletion, of which nothing is left', async () => {
    world.startReplica()
    const id = await world.stopped('all of it')
    const trap = world.runner.trap('export', 'after')
    await world.command(id, 'archive')
    await trap.reached
    await world.command(id, 'delete')
    await world.untilSettled(id, 'destroyed')
    trap.spring()
    await world.untilSwept()
    expect(world.runner.sandboxes.has(id)).toBe(false)
    expect(world.objects.keysOf(id)).toEqual([])
  })
})

describe('what is archived', () => {
  it('is deleted without any runner, with its files', async () => {
    world.startReplica()
    const id = await archived('all of it')
    const calls = world.runner.calls.length
    await world.command(id, 'delete')
    await world.untilSettled(id, 'destroyed')
    await world.untilSwept()
    expect(world.objects.keysOf(id)).toEqual([])
    expect(world.runner.calls).toHaveLength(calls)
    expect(await world.read(id)).toMatchObject({ backupId: null, backupState: 'None' })
  })

  it.each([
    ['make', 'after'],
    ['import', 'before'],
    ['import', 'after'],
  ] satisfies [StepVerb, 'before' | 'after'][])(
    'R2: is restored by another replica when one dies at %s (%s)',
    async (verb, at) => {
      const first = world.startReplica()
      const id = await archived('all of it')
      const trap = world.runner.trap(verb, at)
      await start(id)
      await trap.reached
      await first.die()
      world.startReplica()
      await world.untilSettled(id, 'started')
      trap.spring()
      expect(world.runner.get(id).files).toBe('all of it')
    },
  )

  it('R10: is an error when its files are damaged, and nothing of it is on the runner', async () => {
    world.startReplica()
    const id = await archived('all of it')
    const [key = ''] = world.objects.keysOf(id)
    const whole = world.objects.objects.get(key) ?? Buffer.alloc(0)
    world.objects.objects.set(key, Buffer.from('#not all!!'))
    await start(id)
    await world.untilSettled(id, 'error')
    expect(await world.read(id)).toMatchObject({
      ...{ recoverableTo: 'archived', runnerId: null },
      errorReason: expect.stringContaining('damaged'),
    })
    expect(world.runner.sandboxes.has(id)).toBe(false)
    world.objects.objects.set(key, whole)
    await world.command(id, 'recover', { runnerId: world.runnerId })
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe('all of it')
  })

  it('stays archived when its runner refuses it', async () => {
    world.startReplica()
    const id = await archived('all of it')
    world.runner.fail('make', new RunnerCallError(400, 'no such snapshot'))
    await start(id)
    await world.untilSettled(id, 'error')
    await world.command(id, 'recoverStopped')
    await world.untilSettled(id, 'archived')
    await start(id)
    await world.untilSettled(id, 'started')
  })

  it('R6: is deleted in the middle of being restored', async () => {
    world.startReplica()
    const id = await archived('all of it')
    const trap = world.runner.trap('import', 'before')
    await start(id)
    await trap.reached
    await world.command(id, 'delete')
    await world.untilSettled(id, 'destroyed')
    trap.spring()
    await world.untilSwept()
    expect([world.runner.sandboxes.has(id), world.objects.keysOf(id)]).toEqual([false, []])
  })

  it('waits for its snapshot without a lease, and without using up a try', async () => {
    world.startReplica()
    const id = await archived('all of it')
    let looks = 0
    world.snapshots.isThere = async () => ++looks > 1
    await start(id)
    await until('it was looked whether it has come', () => looks === 1)
    await until('its lease is given back', async () => (await world.read(id)).leaseOwner === null)
    expect(await world.read(id)).toMatchObject({ state: 'archived', desiredState: 'started', attempts: 0 })
    expect(world.runner.sandboxes.has(id)).toBe(false)
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe('all of it')
  })

  it('R5: is an error in the end when its snapshot cannot be brought, and can be recovered', async () => {
    world.startReplica()
    const id = await archived('all of it')
    world.snapshots.isThere = () => Promise.reject(new RunnerAwayError('no runner that has its snapshot is connected'))
    await start(id)
    await world.untilSettled(id, 'error')
    expect(await world.read(id)).toMatchObject({
      ...{ recoverableTo: 'archived', runnerId: null },
      errorReason: 'The sandbox could not be restored: no runner that has its snapshot is connected',
    })
    world.snapshots.isThere = async () => true
    await world.command(id, 'recover', { runnerId: world.runnerId })
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe('all of it')
  })

  it('is started once, however often it is asked for', async () => {
    world.startReplica()
    const id = await archived('all of it')
    const answers = await Promise.all([start(id), start(id), start(id)])
    expect(answers.map((answer) => answer?.outcome.kind).sort()).toEqual(['changed', 'refused', 'refused'])
    await world.untilSettled(id, 'started')
    expect(world.runner.calls.filter((call) => call === `start ${id}`)).toHaveLength(2)
  })
})

it('a copy of files keeps nothing quick waiting', async () => {
  world.startReplica({ maxJobs: 1 })
  const slow = await world.stopped('all of it')
  const trap = world.runner.trap('export', 'after')
  await world.command(slow, 'archive')
  await trap.reached
  await world.started()
  trap.spring()
  await world.untilSettled(slow, 'archived')
})
