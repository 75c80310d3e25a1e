import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ReconciledSandboxes } from '../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../testing/reconciled-sandboxes.ts'

const MINUTE_MS = 60_000
const clock = Date.parse('2026-01-01T00:00:00Z')

let world: ReconciledSandboxes

beforeAll(async () => {
  world = await createReconciledSandboxes(() => clock)
})
afterAll(() => world[Symbol.asyncDispose]())

it.each([
  ['a later use counts', { before: -MINUTE_MS, use: 0, after: 0 }],
  ['an earlier one does not', { before: 0, use: -MINUTE_MS, after: 0 }],
  ['nor one that is earlier than that of another replica', { before: MINUTE_MS, use: 0, after: MINUTE_MS }],
  ['any counts where the clock was set back since the last', { before: MINUTE_MS + 1, use: -1_000, after: -1_000 }],
])('%s', async (_, { before, use, after }) => {
  const id = await world.insert({ lastActivityAt: new Date(clock + before) })
  await world.store.touch(new Map([[id, clock + use]]))
  expect((await world.read(id)).lastActivityAt).toEqual(new Date(clock + after))
})

it('replicas that write the same uses at once, in whatever order, do not block each other', async () => {
  const ids = await Promise.all(Array.from({ length: 50 }, () => world.insert()))
  for (let round = 1; round <= 20; round += 1) {
    const used = ids.map((id): [string, number] => [id, clock + round])
    await Promise.all(
      [used, used.toReversed(), used, used.toReversed()].map((uses) => world.store.touch(new Map(uses))),
    )
  }
  for (const { lastActivityAt } of await world.store.findMany(ids)) expect(lastActivityAt).toEqual(new Date(clock + 20))
})
