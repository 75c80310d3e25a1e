import { TunnelError } from '@atoll/tunnel'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { StepVerb } from '../../testing/memory-runner.ts'
import type { ReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../../testing/reconciled-sandboxes.ts'

let world: ReconciledSandboxes

beforeEach(async () => {
  world = await createReconciledSandboxes()
})
afterEach(() => world[Symbol.asyncDispose]())

const points: [StepVerb, 'before' | 'after'][] = [
  ['make', 'before'],
  ['make', 'after'],
  ['start', 'before'],
  ['start', 'after'],
]

it.each(points)(
  'R2: a fork is finished by another replica when one dies %s (%s), with the first files',
  async (verb, at) => {
    const first = world.startReplica()
    const parent = await world.stopped('of the moment')
    const trap = world.runner.trap(verb, at)
    const id = await world.insert({ forkedFromId: parent })
    await trap.reached
    await first.die()
    const isMade = verb !== 'make' || at === 'after'
    if (isMade) world.runner.get(parent).files = 'newer'
    world.startReplica()
    await world.untilSettled(id, 'started')
    trap.spring()
    expect(world.runner.get(id).files).toBe('of the moment')
  },
)

it.each(points)('R6: a fork deleted meanwhile (%s, %s) leaves nothing, and its parent as it is', async (verb, at) => {
  world.startReplica()
  const parent = await world.stopped('kept')
  const trap = world.runner.trap(verb, at)
  const id = await world.insert({ forkedFromId: parent })
  await trap.reached
  await world.command(id, 'delete')
  await world.untilSettled(id, 'destroyed')
  trap.spring()
  expect(world.runner.sandboxes.has(id)).toBe(false)
  expect(world.runner.get(parent).files).toBe('kept')
})

it('a parent deleted before its fork has the files leaves the fork in error, with a reason', async () => {
  world.startReplica()
  const parent = await world.stopped('gone')
  const trap = world.runner.trap('make', 'before')
  const id = await world.insert({ forkedFromId: parent })
  await trap.reached
  await world.command(parent, 'delete')
  await world.untilSettled(parent, 'destroyed')
  trap.spring()
  await world.untilSettled(id, 'error')
  expect(await world.read(id)).toMatchObject({
    errorReason: `The sandbox could not be created: there is no sandbox ${parent} on this runner`,
    recoverableTo: null,
  })
  await world.command(id, 'delete')
  await world.untilSettled(id, 'destroyed')
})

it('a parent deleted once its fork has the files is not missed', async () => {
  world.startReplica()
  const parent = await world.stopped('kept')
  const trap = world.runner.trap('make', 'after')
  const id = await world.insert({ forkedFromId: parent })
  await trap.reached
  await world.command(parent, 'delete')
  await world.untilSettled(parent, 'destroyed')
  trap.spring()
  await world.untilSettled(id, 'started')
  expect(world.runner.get(id).files).toBe('kept')
})

it('is tried again while the runner is away', async () => {
  world.startReplica()
  const parent = await world.stopped('kept')
  world.runner.fail('make', new TunnelError('LINK_CLOSED', 'gone'), 3)
  const id = await world.insert({ forkedFromId: parent })
  await world.untilSettled(id, 'started')
  expect(world.runner.get(id).files).toBe('kept')
})

it('R3, R5: waits for its toolbox no longer than any other sandbox that is made', async () => {
  const first = world.startReplica()
  const parent = await world.stopped('kept')
  await first[Symbol.asyncDispose]()
  world.runner.toolboxConnects = false
  // The deadline of a fork stays what it is: eleven minutes.
  world.startReplica({ stepDeadlineMs: 1_500, launchDeadlineMs: 1_500 })
  const id = await world.insert({ forkedFromId: parent })
  await world.untilSettled(id, 'error')
  expect(await world.read(id)).toMatchObject({ errorReason: expect.stringContaining('toolbox did not connect') })
})
