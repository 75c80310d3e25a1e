import { afterEach, beforeEach, expect, it } from 'vitest'
import type { ReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { until } from '../../testing/until.ts'

let world: ReconciledSandboxes
beforeEach(async () => {
  world = await createReconciledSandboxes()
})
afterEach(() => world[Symbol.asyncDispose]())

it('a disk may take longer to grow than any other step (R5)', async () => {
  world.startReplica({ stepDeadlineMs: 1_500 })
  const { runner } = world
  const [disk, cpu] = [await world.stopped('x'), await world.stopped('y')]
  const resizes = (id: string) => runner.calls.filter((call) => call === `resize ${id}`).length
  const { cpu: resizeCpu, memoryGib: resizeMemoryGib, diskGib: resizeDiskGib } = await world.read(disk)
  const same = { resizeCpu, resizeMemoryGib, resizeDiskGib }

  const growing = runner.trap('resize', 'before')
  await world.command(disk, 'resize', { ...same, resizeDiskGib: resizeDiskGib + 1 })
  await growing.reached
  const other = runner.trap('resize', 'before')
  await world.command(cpu, 'resize', { ...same, resizeCpu: resizeCpu + 1 })
  await other.reached
  // The step that began later was ended by its deadline.
  await until('the other is tried again', () => resizes(cpu) === 2)
  expect(resizes(disk)).toBe(1)
  growing.spring()
  await world.untilSettled(disk, 'stopped')
  expect(await world.read(disk)).toMatchObject({ diskGib: resizeDiskGib + 1 })
  expect(resizes(disk)).toBe(1)
})
