import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ReconciledSandboxes, TestReplica } from '../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../testing/reconciled-sandboxes.ts'
import { hashToken } from './sandbox-steps.ts'

/** Long enough never to pass in a test: a sandbox that is started within it was not found by a poll. */
const HOUR_MS = 3_600_000

let world: ReconciledSandboxes

beforeEach(async () => {
  world = await createReconciledSandboxes()
})
afterEach(async () => await world[Symbol.asyncDispose]())

/** Makes a sandbox as the service does. Returns its id and the lease that it was written with. */
async function make(replica: TestReplica, end: 'complete' | 'die' = 'complete') {
  using handover = replica.reconciler.handOver()
  const lease = handover.lease(world.runnerId)
  const id = await world.insert({ lease })
  const written = await world.read(id)
  if (end === 'complete') handover.complete(written)
  return { id, lease, written }
}

/** Starts a replica that has polled for the last time, and found nothing. */
async function startQuietReplica(): Promise<TestReplica> {
  const replica = world.startReplica({ pollMs: HOUR_MS })
  const id = await world.insert()
  replica.reconciler.wake()
  await world.untilSettled(id, 'started')
  return replica
}

describe('R1a: a new sandbox', () => {
  it('is begun at once by whoever made it, with the token that it was written with', async () => {
    const replica = await startQuietReplica()
    const { id, lease, written } = await make(replica)
    expect(written).toMatchObject({ state: 'creating', leaseOwner: lease?.owner, toolboxTokenHash: lease?.tokenHash })
    await world.untilSettled(id, 'started')
    const row = await world.read(id)
    expect(row).toMatchObject({ leaseOwner: null, toolboxTokenHash: lease?.tokenHash })
    expect(hashToken(world.runner.get(id).token ?? '')).toBe(lease?.tokenHash)
    expect(await world.store.events(id)).toMatchObject([
      { event: 'create', toState: 'creating' },
      { event: 'made', fromState: 'creating', toState: 'starting', actorKind: 'reconciler' },
      { event: 'ready', fromState: 'starting', toState: 'started', durationMs: 0 },
    ])
  })

  it("is nobody else's while it is being begun", async () => {
    const replica = await startQuietReplica()
    const trap = world.runner.trap('make', 'before')
    const { id } = await make(replica)
    await trap.reached
    const other = world.startReplica()
    const next = await world.insert()
    await world.untilSettled(next, 'started')
    expect(world.runner.calls.filter((call) => call === `make ${id}`)).toHaveLength(1)
    trap.spring()
    await world.untilSettled(id, 'started')
    await other[Symbol.asyncDispose]()
  })

  it.each(['make', 'start'] as const)('is finished by another replica when its own dies in %s', async (verb) => {
    const replica = await startQuietReplica()
    const trap = world.runner.trap(verb, 'after')
    const { id } = await make(replica)
    await trap.reached
    await replica.die()
    world.startReplica()
    await world.untilSettled(id, 'started')
    expect(world.runner.get(id).state).toBe('running')
    const after = await world.read(id)
    trap.spring()
    await replica[Symbol.asyncDispose]()
    expect(await world.read(id)).toEqual(after)
  })

  it('is begun by another replica, with another token, when its own dies before it could', async () => {
    const replica = await startQuietReplica()
    const { id, lease } = await make(replica, 'die')
    world.startReplica()
    expect((await world.read(id)).leaseOwner).toBe(lease?.owner)
    await replica.die()
    await world.untilSettled(id, 'started')
    expect((await world.read(id)).toolboxTokenHash).not.toBe(lease?.tokenHash)
  })

  it('waits for its turn where as much is under way as may be', async () => {
    const replica = world.startReplica({ maxJobs: 1 })
    const trap = world.runner.trap('make', 'before')
    const first = await world.insert()
    await trap.reached
    const { id, lease, written } = await make(replica)
    expect([lease, written.leaseOwner, written.toolboxTokenHash]).toEqual([undefined, null, null])
    trap.spring()
    for (const each of [first, id]) await world.untilSettled(each, 'started')
  })

  it('keeps its place until its transaction is through, and no longer', async () => {
    const replica = world.startReplica({ maxJobs: 1 })
    const ask = () => {
      using handover = replica.reconciler.handOver()
      return handover.lease(world.runnerId) !== undefined
    }
    {
      using handover = replica.reconciler.handOver()
      expect(handover.lease(world.runnerId)).toBeDefined()
      expect(ask()).toBe(false)
    }
    expect([ask(), ask()]).toEqual([true, true])
    const id = await world.insert()
    await world.untilSettled(id, 'started')
  })

  it('is left to others where its runner cannot be called, and where the replica is going', async () => {
    const replica = world.startReplica()
    const handover = replica.reconciler.handOver()
    const elsewhere = await world.addRunner('elsewhere')
    world.runners.delete(elsewhere)
    expect(handover.lease(elsewhere)).toBeUndefined()
    await replica[Symbol.asyncDispose]()
    expect(handover.lease(world.runnerId)).toBeUndefined()
  })

  it('that is deleted at once leaves nothing', async () => {
    const replica = await startQuietReplica()
    const trap = world.runner.trap('make', 'after')
    const { id } = await make(replica)
    await trap.reached
    await world.command(id, 'delete')
    await world.untilSettled(id, 'destroyed')
    expect(world.runner.sandboxes.has(id)).toBe(false)
  })
})
