import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StepVerb, Trap } from '../../testing/memory-runner.ts'
import type { ReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { until } from '../../testing/until.ts'

/** Files that take many parts in a test's object store. */
const FILES = 'all that there is to be moved, in ever so many parts'
/** The bytes of the archive, with the mark of the memory runner's packing. */
const BYTES = FILES.length + 1

let world: ReconciledSandboxes

beforeEach(async () => {
  world = await createReconciledSandboxes()
})
afterEach(() => world[Symbol.asyncDispose]())

const start = (id: string) => world.command(id, 'start', { runnerId: world.runnerId })

/** Holds a call of a verb, after `count` calls that went through. */
const holdAfter = (verb: StepVerb, count: number): Trap => world.runner.trap(verb, 'before', count)

describe('A3: after a crash no more than one part is moved again', () => {
  it.each([1, 6, 12])('of an archive whose replica dies after %i parts', async (parts) => {
    const first = world.startReplica()
    const id = await world.stopped(FILES)
    const trapped = holdAfter('read', parts)
    await world.command(id, 'archive')
    await trapped.reached
    await first.die()
    world.startReplica()
    await world.untilSettled(id, 'archived')
    trapped.spring()
    expect(world.objects.filesOf(id)).toEqual([FILES])
    expect(world.objects.stored).toBe(BYTES)
    expect(world.runner.archived.moved.out).toBeLessThan(BYTES + world.objects.partBytes)
  })

  it('of an archive whose link or object store fails on the way', async () => {
    world.startReplica()
    const id = await world.stopped(FILES)
    const trapped = holdAfter('read', 5)
    await world.command(id, 'archive')
    await trapped.reached
    world.objects.failures = 1
    world.runner.fail('read', new Error('the link broke'))
    trapped.spring()
    await world.untilSettled(id, 'archived')
    expect(world.objects.filesOf(id)).toEqual([FILES])
    expect(world.objects.stored).toBe(BYTES)
    expect(world.runner.archived.moved.out).toBeLessThanOrEqual(BYTES + world.objects.partBytes)
  })

  it.each(['archive', 'backup'] as const)(
    'of an archive that was given up on the way, and goes on as %s',
    async (as) => {
      world.startReplica()
      const id = await world.stopped(FILES)
      const trapped = holdAfter('read', 5)
      await world.command(id, 'archive')
      await trapped.reached
      world.objects.failures = 1_000
      trapped.spring()
      await world.untilSettled(id, 'stopped')
      world.objects.failures = 0
      if (as === 'archive') await world.command(id, 'archive')
      else await world.backups.request(id, world.organizationId)
      await until('it is there', async () => (await world.read(id)).backupState === 'Completed')
      expect(world.objects.filesOf(id)).toEqual([FILES])
      expect(world.objects.stored).toBe(BYTES)
    },
  )

  it('of a restore whose object store fails again and again', async () => {
    world.startReplica({ maxAttempts: 3 })
    const id = await world.stopped(FILES)
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    const get = world.objects.get.bind(world.objects)
    let gets = 0
    world.objects.get = async (...part) => {
      gets += 1
      if (gets % 2 === 0) throw new Error('the object store failed')
      return await get(...part)
    }
    await start(id)
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe(FILES)
    expect(world.runner.archived.moved.in).toBe(BYTES)
  })

  it.each([1, 6, 12])('of a restore whose replica dies after %i parts', async (parts) => {
    const first = world.startReplica()
    const id = await world.stopped(FILES)
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    const trapped = holdAfter('send', parts)
    await start(id)
    await trapped.reached
    await first.die()
    world.startReplica()
    await world.untilSettled(id, 'started')
    trapped.spring()
    expect(world.runner.get(id).files).toBe(FILES)
    expect(world.runner.archived.moved.in).toBeLessThan(BYTES + world.objects.partBytes)
  })

  it('of a backup, also when the sandbox has changed meanwhile', async () => {
    const first = world.startReplica()
    const id = await world.stopped(FILES)
    const trapped = holdAfter('read', 4)
    await world.backups.request(id, world.organizationId)
    await trapped.reached
    world.runner.get(id).files = 'other'
    await first.die()
    world.startReplica()
    await until('it is there', async () => (await world.read(id)).backupState === 'Completed')
    trapped.spring()
    expect(world.objects.filesOf(id)).toEqual([FILES])
    expect(world.runner.archived.moved.out).toBeLessThan(BYTES + world.objects.partBytes)
    await until('the runner keeps nothing', async () => world.runner.archived.outgoing.size === 0)
  })
})

describe('an archive', () => {
  it('that was made one object just before a crash is not moved again', async () => {
    const first = world.startReplica()
    const id = await world.stopped(FILES)
    const complete = world.objects.complete.bind(world.objects)
    let goOn: () => void = () => undefined
    const reached = new Promise<void>((resolve) => {
      world.objects.complete = async (target, parts) => {
        await complete(target, parts)
        world.objects.complete = complete
        resolve()
        await new Promise<void>((released) => {
          goOn = released
        })
        return true
      }
    })
    await world.command(id, 'archive')
    await reached
    await first.die()
    world.startReplica()
    await world.untilSettled(id, 'archived')
    goOn()
    expect(world.objects.filesOf(id)).toEqual([FILES])
    expect(world.objects.stored).toBe(BYTES)
  })

  it('begins anew when the object store has forgotten the upload, or the runner the archive', async () => {
    world.startReplica()
    const id = await world.stopped(FILES)
    let trapped = holdAfter('read', 3)
    await world.command(id, 'archive')
    await trapped.reached
    world.objects.uploads.clear()
    trapped.spring()
    await world.untilSettled(id, 'archived')
    expect(world.objects.filesOf(id)).toEqual([FILES])
    await start(id)
    await world.untilSettled(id, 'started')
    await world.command(id, 'stop')
    await world.untilSettled(id, 'stopped')
    trapped = holdAfter('read', 3)
    await world.command(id, 'archive')
    await trapped.reached
    world.runner.archived.outgoing.clear()
    world.runner.get(id).files = 'packed anew, to something else'
    world.runner.fail('read', new Error('the link broke'))
    trapped.spring()
    await world.untilSettled(id, 'archived')
    await world.untilSwept()
    expect(world.objects.filesOf(id)).toEqual(['packed anew, to something else'])
    expect(world.objects.uploads.size).toBe(0)
  })

  it('A6: leaves no second upload when its replica died before it had noted the first', async () => {
    const first = world.startReplica()
    const id = await world.stopped(FILES)
    const begin = world.objects.begin.bind(world.objects)
    const reached = new Promise<void>((resolve) => {
      world.objects.begin = async (key) => {
        world.objects.begin = begin
        await begin(key)
        resolve()
        throw new Error('the replica died')
      }
    })
    await world.command(id, 'archive')
    await reached
    await first.die()
    world.startReplica()
    await world.untilSettled(id, 'archived')
    expect(world.objects.filesOf(id)).toEqual([FILES])
  })

  it('A6, R11: that is given up leaves no part, no upload and nothing on its runner', async () => {
    world.startReplica()
    const id = await world.stopped(FILES)
    const trapped = holdAfter('read', 5)
    await world.backups.request(id, world.organizationId)
    await trapped.reached
    const rows = () => world.database.sql`select upload_id from sandbox_backups where sandbox_id = ${id}`.values()
    expect(await rows()).toEqual([[...world.objects.uploads.keys()]])
    await world.command(id, 'start')
    await world.untilSettled(id, 'started')
    trapped.spring()
    await world.untilSwept()
    expect(await rows()).toEqual([])
    expect([world.objects.uploads.size, world.objects.keysOf(id)]).toEqual([0, []])
    expect(world.runner.archived.outgoing.size).toBe(0)
    expect(await world.database.sql`select count(*)::int as parts from sandbox_backup_parts`).toEqual([{ parts: 0 }])
  })

  it('A4: of an earlier version, in one piece and not compressed, is restored and found damaged', async () => {
    world.startReplica()
    const id = await world.stopped(FILES)
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    // The columns are as the version before wrote them.
    await world.database.sql`delete from sandbox_backup_parts`
    await world.database.sql`update sandbox_backups set part_bytes = null, upload_id = null`
    const [key = ''] = world.objects.keysOf(id)
    const whole = world.objects.objects.get(key) ?? Buffer.alloc(0)
    world.objects.objects.set(key, Buffer.from(whole).fill('x', 20, 21))
    await start(id)
    await world.untilSettled(id, 'error')
    expect(await world.read(id)).toMatchObject({
      recoverableTo: 'archived',
      errorReason: expect.stringMatching('damaged'),
    })
    expect(world.runner.archived.moved.in).toBe(0)
    world.objects.objects.set(key, whole)
    await world.command(id, 'recover', { runnerId: world.runnerId })
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe(FILES)
  })

  it('is sent again when what came of it is not what was sent', async () => {
    world.startReplica()
    const id = await world.stopped(FILES)
    await world.command(id, 'archive')
    await world.untilSettled(id, 'archived')
    const trapped = holdAfter('send', 4)
    await start(id)
    await trapped.reached
    world.runner.archived.incoming.get(id)?.content.fill('x', 2, 3)
    trapped.spring()
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).files).toBe(FILES)
    const sha256 = createHash('sha256').update(`#${FILES}`).digest('hex')
    expect(await world.database.sql`select sha256, format from sandbox_backups`).toEqual([{ sha256, format: 'tar' }])
  })
})
