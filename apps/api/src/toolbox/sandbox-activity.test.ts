import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { until } from '../testing/until.ts'
import type { SandboxActivity } from './sandbox-activity.ts'
import { createSandboxActivity } from './sandbox-activity.ts'

/** One write: the times by sandbox, and functions by which a test ends it. */
interface Write {
  activity: ReadonlyMap<string, number>
  succeed: () => void
  fail: (error: Error) => void
}

let clock: number
let writes: Write[]
let busy: string[]
let activity: SandboxActivity

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval'] })
  clock = 1_000
  writes = []
  busy = []
  activity = createSandboxActivity({
    write: (written) =>
      new Promise((succeed, fail) => {
        writes.push({ activity: written, succeed, fail })
      }),
    tunnels: { busyIds: () => busy, isBusy: (id) => busy.includes(id) },
    log: createLogger('test', 'silent'),
    now: () => clock,
    maxHeld: 3,
  })
})
afterEach(async () => {
  // Nothing is left to write.
  await activity[Symbol.asyncDispose]()
  vi.useRealTimers()
})

function use(...ids: string[]): void {
  for (const id of ids) activity.record(id)
}

async function nthWrite(count: number): Promise<Write> {
  await until('it is written', () => writes.length >= count)
  expect(writes).toHaveLength(count)
  const write = writes[count - 1]
  if (write === undefined) throw new Error('nothing was written')
  return write
}

it('what could not be written is written with what comes after, each with its later time', async () => {
  use('a', 'b')
  const failing = activity.flush()
  const first = await nthWrite(1)
  clock += 1
  use('b', 'c')
  first.fail(new Error('planned'))
  expect(await failing).toBe(false)
  const working = activity.flush()
  const second = await nthWrite(2)
  expect(Object.fromEntries(second.activity)).toEqual({ a: 1_000, b: 1_001, c: 1_001 })
  second.succeed()
  expect(await working).toBe(true)
  expect(await activity.flush()).toBe(true)
  expect(writes).toHaveLength(2)
})

it('one write is under way at a time, and whoever flushes meanwhile waits for the next', async () => {
  use('a')
  const flushes = [activity.flush()]
  const first = await nthWrite(1)
  use('b')
  flushes.push(activity.flush(), activity.flush())
  vi.advanceTimersByTime(5_000)
  expect(writes).toHaveLength(1)
  first.succeed()
  const second = await nthWrite(2)
  expect([...second.activity.keys()]).toEqual(['b'])
  second.succeed()
  expect(await Promise.all(flushes)).toEqual([true, true, true])
  expect(writes).toHaveLength(2)
})

it('what is in use, or was and is not written yet, is used', async () => {
  busy = ['busy']
  use('a')
  expect(['busy', 'a', 'b'].map(activity.isUsed)).toEqual([true, true, false])
  const flushed = activity.flush()
  const { succeed } = await nthWrite(1)
  expect(activity.isUsed('a')).toBe(true)
  succeed()
  await flushed
  expect(['busy', 'a'].map(activity.isUsed)).toEqual([true, false])
})

it('what is in use is written every ten seconds, whether or not anyone flushes', async () => {
  busy = ['busy']
  await vi.advanceTimersByTimeAsync(9_000)
  expect(writes).toHaveLength(0)
  clock += 10_000
  await vi.advanceTimersByTimeAsync(1_000)
  expect(writes.map(({ activity: written }) => Object.fromEntries(written))).toEqual([{ busy: 11_000 }])
  writes[0]?.succeed()
  const flushed = activity.flush()
  const second = await nthWrite(2)
  second.succeed()
  await flushed
  await vi.advanceTimersByTimeAsync(9_000)
  expect(writes).toHaveLength(2)
})

it('of more than it may hold the ones that were used longest ago are forgotten', async () => {
  use('a', 'b', 'c', 'a', 'd')
  const flushed = activity.flush()
  const first = await nthWrite(1)
  expect([...first.activity.keys()]).toEqual(['c', 'a', 'd'])
  use('c', 'e')
  first.fail(new Error('planned'))
  expect(await flushed).toBe(false)
  const again = activity.flush()
  const second = await nthWrite(2)
  expect([...second.activity.keys()]).toEqual(['d', 'c', 'e'])
  second.succeed()
  expect(await again).toBe(true)
})
