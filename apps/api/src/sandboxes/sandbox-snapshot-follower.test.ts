import { randomUUID } from 'node:crypto'
import { SNAPSHOT_PULL_LIMIT_MS } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSnapshotChanges } from '../snapshots/snapshot-changes.ts'
import { createSnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import { createSnapshotStore } from '../snapshots/snapshot-store.ts'
import type { TransferState } from '../snapshots/snapshot-transfers.ts'
import type { RunnerLossWorld } from '../testing/runner-loss-world.ts'
import { createRunnerLossWorld } from '../testing/runner-loss-world.ts'
import { createRunnerLossStore } from './runner-loss/runner-loss-store.ts'
import { createSnapshotFollower } from './sandbox-snapshot-follower.ts'
import type { SandboxSnapshotStore } from './sandbox-snapshot-store.ts'
import { createSandboxSnapshotStore } from './sandbox-snapshot-store.ts'

const MINUTE_MS = 60_000
const snapshotChanges = createSnapshotChanges({ subscribe: () => undefined })

let world: RunnerLossWorld
let links: SandboxSnapshotStore
let ref: string
/** What has become of every transfer. */
let transfer: TransferState

beforeEach(async () => {
  world = await createRunnerLossWorld()
  const now = () => world.clock
  links = createSandboxSnapshotStore({ database: world.database, changes: world.changes, now })
  transfer = { kind: 'coming' }
})
afterEach(() => world[Symbol.asyncDispose]())

/** Makes a sandbox whose snapshot is on its way to its runner. */
async function waiting(): Promise<string> {
  const { database, organizationId } = world
  const at = new Date(world.clock)
  ref = `snapshot-${randomUUID()}`
  const store = createSnapshotStore({ database, changes: snapshotChanges, now: () => world.clock })
  const snapshot = await store.transaction((tx) =>
    store.insert(
      tx,
      {
        ...{ organizationId, name: ref, general: false, ref, kind: 'image', imageName: 'a:1', state: 'active' },
        ...{ cpu: 1, gpu: 0, memoryGib: 1, diskGib: 3, region: 'us', changedAt: at, createdAt: at, updatedAt: at },
      },
      { kind: 'reconciler' },
    ),
  )
  const id = await world.insert({ snapshotId: snapshot?.id ?? null, snapshotRef: ref })
  await database.sql`update sandboxes set state = 'pulling_snapshot' where id = ${id}`
  return id
}

/** Lets a follower look once. */
async function look(found: Pick<SandboxSnapshotStore, 'waiting' | 'endSnapshots'> = links): Promise<void> {
  const follower = createSnapshotFollower({
    ...{ store: world.store, links: found, snapshotChanges, log: createLogger('test', 'silent') },
    ...{ runners: { readyIds: () => [...world.runners.keys()] }, now: () => world.clock },
    transfers: { bring: () => transfer, [Symbol.asyncDispose]: async () => undefined },
  })
  follower.wake()
  await follower[Symbol.asyncDispose]()
}

describe('a sandbox that waits for its snapshot', () => {
  it('L4: has the whole time again on the runner to which it was moved', async () => {
    const id = await waiting()
    world.otherId = await world.addRunner('other')
    world.clock += SNAPSHOT_PULL_LIMIT_MS - 3 * MINUTE_MS
    await world.lose()
    expect((await world.read(id)).runnerId).toBe(world.otherId)
    world.clock += SNAPSHOT_PULL_LIMIT_MS - MINUTE_MS
    await look()
    expect((await world.read(id)).state).toBe('pulling_snapshot')
    world.clock += 2 * MINUTE_MS
    await look()
    expect(await world.read(id)).toMatchObject({
      ...{ state: 'error', recoverableTo: null },
      errorReason: 'The snapshot was not brought to its runner within 15 minutes',
    })
  })

  it('L4: hears nothing of the runner that it has left', async () => {
    const [failing, having] = [await waiting(), await waiting()]
    await createSnapshotRunnerStore(world.database).setHeld(ref, world.runnerId)
    transfer = { kind: 'permanent', reason: 'no space left' }
    const otherId = await world.addRunner('other')
    await look({
      ...links,
      async waiting() {
        const found = await links.waiting()
        for (const id of [failing, having]) await move(id, otherId)
        return found
      },
    })
    for (const id of [failing, having]) {
      expect(await world.read(id)).toMatchObject({ state: 'pulling_snapshot', runnerId: otherId })
    }
  })
})

/** Moves a sandbox from its runner as if that were lost. */
async function move(id: string, to: string): Promise<void> {
  const at = new Date(world.clock)
  const after = new Date(world.clock + 1)
  const silence = { heardBefore: after, seenBefore: after }
  const losses = createRunnerLossStore(world.database, world.changes)
  expect(await losses.move({ row: await world.read(id), silence, at, place: async () => to })).toBe(true)
}
