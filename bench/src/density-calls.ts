/** Durations of calls, in milliseconds: calls to always the same of many targets, and calls to each in turn. */
export interface CallTimes {
  one: number[]
  each: number[]
}

const WARM_UP_CALLS = 200
/** The number of turns of each kind: with many turns, other load of the machine affects both kinds alike. */
const TURNS = 10
const CALLS_A_TURN = 60

/** Measures calls, one at a time. The first call to each target is not measured. */
export async function timeCalls<Target>(
  targets: readonly Target[],
  call: (target: Target) => Promise<unknown>,
): Promise<CallTimes> {
  const [first] = targets
  if (first === undefined) throw new Error('there is nothing to call')
  for (const target of targets) await call(target)
  for (let warm = 0; warm < WARM_UP_CALLS; warm++) await call(first)
  const times: CallTimes = { one: [], each: [] }
  const timeOne = async (target: Target, into: number[]) => {
    const startedAt = performance.now()
    await call(target)
    into.push(performance.now() - startedAt)
  }
  for (let turn = 0; turn < TURNS; turn++) {
    for (let at = 0; at < CALLS_A_TURN; at++) await timeOne(first, times.one)
    for (let at = 0; at < CALLS_A_TURN; at++) {
      await timeOne(targets[(turn * CALLS_A_TURN + at) % targets.length] ?? first, times.each)
    }
  }
  return times
}
