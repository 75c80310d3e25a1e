import { createLogger } from '@atoll/service'
import { expect, test } from 'vitest'
import { until } from '../testing/until.ts'
import type { LeaseJob, LeaseLoopLimits, LeaseWork } from './lease-loop.ts'
import { LeaseLoop, retryDelayMs } from './lease-loop.ts'

/** A time that never passes in a test, so that the loop acts on wakes alone. */
const HOUR_MS = 3_600_000
const limits: LeaseLoopLimits = { maxJobs: 2, leaseMs: HOUR_MS, pollMs: HOUR_MS }
const log = createLogger('test', 'silent')

/** Items that are due until they are leased; the job of each ends when the test says so. */
class Things implements LeaseWork<{ id: string }, LeaseJob> {
  readonly what = 'things'
  readonly due: string[]
  readonly under = new Map<string, () => void>()
  readonly released: string[] = []
  readonly leases = {
    renew: async () => undefined,
    release: async (id: string) => void this.released.push(id),
  }

  constructor(due: string[]) {
    this.due = due
  }

  async lease({ limit }: { limit: number }) {
    return this.due.splice(0, limit).map((id) => ({ id }))
  }

  begin(): LeaseJob {
    return { controller: new AbortController() }
  }

  async drive({ id }: { id: string }, { controller }: LeaseJob): Promise<void> {
    await new Promise<void>((resolve) => {
      this.under.set(id, resolve)
      controller.signal.addEventListener('abort', () => resolve())
    })
    this.under.delete(id)
  }

  isMore(): boolean {
    return false
  }
}

test('takes as much as it may, and more as soon as there is room', async () => {
  const things = new Things(['a', 'b', 'c'])
  await using loop = new LeaseLoop({ work: things, limits, log })
  loop.start()
  await until('two are worked on', () => things.under.size === 2)
  expect(things.due).toEqual(['c'])
  things.under.get('a')?.()
  await until('so is the third', () => things.under.has('c'))
})

test('works at once on what was leased in its name for a place that it kept', async () => {
  const things = new Things([])
  await using loop = new LeaseLoop({ work: things, limits, log })
  expect(loop.keepPlace()).toBeUndefined()
  loop.start()
  const [one, other] = [loop.keepPlace(), loop.keepPlace()]
  expect(loop.keepPlace()).toBeUndefined()
  one?.take({ id: 'a' })
  one?.[Symbol.dispose]()
  expect(things.under.has('a')).toBe(true)
  expect(loop.keepPlace()).toBeUndefined()
  things.due.push('b')
  loop.wake()
  // The loop that found no room looks again when a kept place is freed.
  other?.[Symbol.dispose]()
  await until('it is found', () => things.under.has('b'))
})

test('works once on what it found by itself before it was handed over', async () => {
  const things = new Things(['a'])
  await using loop = new LeaseLoop({ work: things, limits, log })
  loop.start()
  using place = loop.keepPlace()
  await until('it is worked on', () => things.under.has('a'))
  const job = loop.job('a')
  place?.take({ id: 'a' })
  expect(loop.jobs()).toEqual([job])
})

test('works once on what is leased once more meanwhile, and gives the new lease back', async () => {
  const things = new Things(['a'])
  await using loop = new LeaseLoop({ work: things, limits, log })
  loop.start()
  await until('it is worked on', () => things.under.has('a'))
  const job = loop.job('a')
  things.due.push('a')
  loop.wake()
  await until('it is leased again', () => things.due.length === 0)
  expect(loop.jobs()).toEqual([job])
  things.under.get('a')?.()
  await until('it is given back', () => things.released.length === 1)
})

test('cuts short what is under way when it is disposed, and begins nothing more', async () => {
  const things = new Things(['a'])
  const loop = new LeaseLoop({ work: things, limits, log })
  loop.start()
  await until('it is worked on', () => things.under.has('a'))
  await loop[Symbol.asyncDispose]()
  expect([things.under.size, loop.closed]).toEqual([0, true])
  things.due.push('b')
  loop.wake()
  loop.wakeAfter(0)
  expect(things.due).toEqual(['b'])
})

test('waits twice as long after each failure, up to a bound', () => {
  const delays = [0, 1, 2, 10, 1_000].map((attempts) => retryDelayMs(attempts, { retryMinMs: 250, retryMaxMs: 30_000 }))
  expect(delays).toEqual([250, 500, 1_000, 30_000, 30_000])
})
