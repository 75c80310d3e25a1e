import { createLogger } from '@atoll/service'
import { beforeEach, expect, it } from 'vitest'
import type { DueLooks } from './due-looks.ts'
import { createDueLooks } from './due-looks.ts'

let clock: number
/** The milliseconds by which the clock was set forward; the timers do not know of it. */
let setBy: number
let timers: { at: number; call: () => void }[]
let looks: number[]
/** The time that the next look returns. */
let due: number | undefined
let fails: boolean

beforeEach(() => {
  clock = 1_000_000
  setBy = 0
  timers = []
  looks = []
  due = undefined
  fails = false
})

function createLooks(): DueLooks {
  return createDueLooks({
    async look() {
      looks.push(clock)
      if (fails) throw new Error('planned')
      return due
    },
    log: createLogger('test', 'silent'),
    now: () => clock + setBy,
    after(delayMs, call) {
      const timer = { at: clock + delayMs, call }
      timers.push(timer)
      return () => {
        timers = timers.filter((other) => other !== timer)
      }
    },
  })
}

/** Lets `ms` pass, and runs each timer at its time. */
async function advance(ms: number): Promise<void> {
  const until = clock + ms
  for (;;) {
    const next = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
    if (next === undefined) break
    timers = timers.filter((other) => other !== next)
    clock = next.at
    next.call()
    await new Promise((resolve) => setImmediate(resolve))
  }
  clock = until
}

it('looks at the millisecond at which something is due', async () => {
  await using made = createLooks()
  due = clock + 4_321
  made.start()
  await advance(0)
  due = undefined
  await advance(4_320)
  expect(looks).toEqual([1_000_000])
  await advance(1)
  expect(looks).toEqual([1_000_000, 1_004_321])
})

it('looks every ten seconds where nothing is due, or only later', async () => {
  await using made = createLooks()
  due = clock + 60_000
  made.start()
  await advance(35_000)
  expect(looks).toEqual([1_000_000, 1_010_000, 1_020_000, 1_030_000])
})

it('looks twice a second at most, though all the time something is due or asked for', async () => {
  await using made = createLooks()
  due = 0
  made.start()
  await advance(2_000)
  for (let call = 0; call < 10; call += 1) made.wake()
  await advance(499)
  expect(looks).toEqual([1_000_000, 1_000_500, 1_001_000, 1_001_500, 1_002_000])
})

it('looks at once when it is woken, also in a look', async () => {
  await using made = createLooks()
  made.wake()
  await advance(1_000)
  expect(looks).toEqual([])
  made.start()
  await advance(1_234)
  made.wake()
  await advance(0)
  expect(looks).toEqual([1_001_000, 1_002_234])
  await advance(9_999)
  expect(looks).toHaveLength(2)
  timers[0]?.call()
  made.wake()
  await new Promise((resolve) => setImmediate(resolve))
  await advance(500)
  expect(looks).toHaveLength(4)
})

it.each([-3_600_000, 3_600_000])('goes on as before when the clock is set by %d ms', async (ms) => {
  await using made = createLooks()
  made.start()
  await advance(1_000)
  setBy = ms
  await advance(20_000)
  expect(looks).toEqual([1_000_000, 1_010_000, 1_020_000])
  made.wake()
  await advance(0)
  expect(looks.slice(3)).toEqual([1_021_000])
  setBy += ms
  // Calls of `wake` do not delay the look.
  for (let call = 0; call < 10; call += 1) {
    made.wake()
    await advance(100)
  }
  expect(looks.slice(4)).toEqual([1_021_000, 1_021_500, 1_022_000])
})

it('goes on after a look that failed, and ends when it is disposed', async () => {
  const made = createLooks()
  fails = true
  made.start()
  await advance(10_000)
  expect(looks).toEqual([1_000_000, 1_010_000])
  await made[Symbol.asyncDispose]()
  made.wake()
  await advance(60_000)
  expect(looks).toHaveLength(2)
})
