import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { until } from '../../testing/until.ts'

const HOUR_MS = 3_600_000

let world: ReconciledSandboxes
/** How far the clock of the stores is ahead, in milliseconds. */
let aheadMs: number

beforeEach(async () => {
  aheadMs = 0
  world = await createReconciledSandboxes(() => Date.now() + aheadMs)
})
afterEach(() => world[Symbol.asyncDispose]())

const request = (id: string) => world.backups.request(id, world.organizationId)

function untilBackup(id: string, state: string): Promise<void> {
  return until(`the backup is ${state}`, async () => (await world.read(id)).backupState === state)
}

function contents(id: string): (string | undefined)[] {
  return world.objects.filesOf(id)
}

describe('a backup', () => {
  it('copies the files of a sandbox that goes on running', async () => {
    world.startReplica()
    const id = await world.started()
    world.runner.get(id).files = 'now'
    expect(await request(id)).toMatchObject({ backupState: 'Pending' })
    await untilBackup(id, 'Completed')
    expect(await world.read(id)).toMatchObject({ state: 'started', desiredState: 'started' })
    expect((await world.read(id)).backupCreatedAt).not.toBeNull()
    expect(contents(id)).toEqual(['now'])
  })

  it('takes the place of the one before', async () => {
    world.startReplica()
    const id = await world.stopped('now')
    await request(id)
    await untilBackup(id, 'Completed')
    world.runner.get(id).files = 'later'
    await request(id)
    await untilBackup(id, 'Completed')
    await world.untilSwept()
    expect(contents(id)).toEqual(['later'])
  })

  it('is refused while one is on its way', async () => {
    const replica = world.startReplica()
    const id = await world.started()
    const trap = world.runner.trap('export', 'before')
    await request(id)
    replica.keeper.wake()
    await trap.reached
    expect((await world.read(id)).backupState).toBe('InProgress')
    await expect(request(id)).rejects.toMatchObject({
      code: 'SANDBOX_STATE_CONFLICT',
      message: 'Backup already in progress',
    })
    trap.spring()
    await untilBackup(id, 'Completed')
  })

  it('of two asked for at once is one', async () => {
    world.startReplica()
    const id = await world.started()
    const answers = await Promise.allSettled([request(id), request(id), request(id)])
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
  })

  it('R12: is given up when the sandbox is stopped, which does not wait', async () => {
    world.startReplica()
    const id = await world.started()
    const trap = world.runner.trap('export', 'before')
    await request(id)
    await trap.reached
    await world.command(id, 'stop')
    await world.untilSettled(id, 'stopped')
    expect((await world.read(id)).backupState).toBe('None')
    trap.spring()
    await world.untilSettled(id, 'stopped')
    expect((await world.read(id)).backupState).toBe('None')
    await request(id)
    await untilBackup(id, 'Completed')
  })

  it('R2: is made by another replica when one dies', async () => {
    const first = world.startReplica()
    const id = await world.stopped('all')
    const trap = world.runner.trap('export', 'after')
    await request(id)
    await trap.reached
    await first.die()
    world.startReplica()
    await untilBackup(id, 'Completed')
    trap.spring()
    await world.untilSwept()
    expect(contents(id)).toEqual(['all'])
  })

  it('is tried again, and after the last try shows that it failed and keeps the one before', async () => {
    world.startReplica()
    const id = await world.stopped('all')
    await request(id)
    await untilBackup(id, 'Completed')
    const { backupId } = await world.read(id)
    world.objects.failures = 5
    await request(id)
    await untilBackup(id, 'Error')
    expect((await world.read(id)).backupId).toBe(backupId)
    expect(contents(id)).toEqual(['all'])
    world.objects.failures = 1
    await request(id)
    await untilBackup(id, 'Completed')
  })

  it('is not to be had of what has no files on a runner', async () => {
    world.startReplica()
    const id = await world.stopped('all')
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    await expect(request(id)).rejects.toMatchObject({ code: 'SANDBOX_STATE_CONFLICT' })
    expect(await world.backups.request(id, '00000000-0000-4000-8000-000000000000')).toBeUndefined()
  })

  it('that cannot be deleted keeps neither others that are deleted, nor new ones', async () => {
    world.startReplica()
    const ids = [await world.stopped('one'), await world.stopped('two')]
    for (const id of ids) {
      await request(id)
      await untilBackup(id, 'Completed')
    }
    const [first = '', second = ''] = ids
    const remove = world.objects.remove.bind(world.objects)
    let refusals = 0
    world.objects.remove = async (key) => {
      if (!key.includes(first)) return await remove(key)
      refusals += 1
      throw new Error('an object that stays')
    }
    for (const id of ids) await world.command(id, 'delete')
    await until('it was tried', async () => refusals > 1)
    await until('the other is gone', async () => contents(second).length === 0)
    const later = await world.stopped('three')
    await request(later)
    await untilBackup(later, 'Completed')
    expect(contents(first)).toEqual(['one'])
    world.objects.remove = remove
    await world.untilSwept()
    expect(contents(first)).toEqual([])
  })

  it('is deleted though its runner never says that it has let go of the archive', async () => {
    world.startReplica()
    const id = await world.stopped('one')
    await request(id)
    await untilBackup(id, 'Completed')
    let calls = 0
    world.runner.archives.discard = (_archive, signal) => {
      calls += 1
      return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    }
    await request(id)
    await untilBackup(id, 'Completed')
    await world.untilSwept()
    expect(calls).toBeGreaterThan(0)
    expect(world.objects.keysOf(id)).toHaveLength(1)
  })

  it('is not deleted while it may still be written', async () => {
    const first = world.startReplica()
    const id = await world.stopped('one')
    const trap = world.runner.trap('export', 'before')
    await request(id)
    await trap.reached
    expect(await world.backups.discarded(10)).toEqual([])
    await world.database.sql`update sandbox_backups set state = 'discarded'`
    expect(await world.backups.discarded(10)).toEqual([])
    await first.die()
    expect(await world.backups.discarded(10)).toMatchObject([{ sandboxId: id, runnerId: world.runnerId }])
    trap.spring()
  })

  it('R11: goes with its sandbox', async () => {
    world.startReplica()
    const id = await world.stopped('all')
    await request(id)
    await untilBackup(id, 'Completed')
    await world.command(id, 'delete')
    await world.untilSettled(id, 'destroyed')
    await world.untilSwept()
    expect(contents(id)).toEqual([])
  })
})

describe('R13: the time that a backup shows', () => {
  /** Holds the copy of what is packed, lets the clock go on by an hour, and returns the time that is shown afterwards. */
  async function finishAnHourLater(id: string, begin: () => Promise<unknown>): Promise<number | undefined> {
    const trap = world.runner.trap('read', 'before')
    await begin()
    await trap.reached
    aheadMs += HOUR_MS
    trap.spring()
    await untilBackup(id, 'Completed')
    return (await world.read(id)).backupCreatedAt?.getTime()
  }

  it('is when it was asked for, though the sandbox runs on while its packed files are sent', async () => {
    world.startReplica()
    const id = await world.started()
    const before = Date.now()
    const shown = await finishAnHourLater(id, () => request(id))
    expect(shown).toBeGreaterThanOrEqual(before)
    expect(shown).toBeLessThan(before + HOUR_MS)
  })

  it('is when its archive was asked for', async () => {
    world.startReplica()
    const id = await world.stopped('all')
    const before = Date.now()
    const shown = await finishAnHourLater(id, () => world.command(id, 'archive'))
    expect(shown).toBeGreaterThanOrEqual(before)
    expect(shown).toBeLessThan(before + HOUR_MS)
  })

  it('is when it was asked for, where it goes on with what an archive had packed of the same files', async () => {
    world.startReplica()
    const id = await world.stopped('all')
    world.objects.failures = 1_000
    await world.command(id, 'archive')
    await until('it is given up', async () => (await world.read(id)).backupState === 'Error')
    world.objects.failures = 0
    aheadMs += HOUR_MS
    const before = Date.now() + aheadMs
    const shown = await finishAnHourLater(id, () => request(id))
    expect(shown).toBeGreaterThanOrEqual(before)
    expect(shown).toBeLessThan(before + HOUR_MS)
    expect(contents(id)).toEqual(['all'])
  })
})
