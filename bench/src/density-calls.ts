/** A small call to a sandbox or a process. */
export type Call = () => Promise<unknown>

/** Durations of calls, in milliseconds. */
export interface CallTimes {
  /** Calls to the only one there is: of a system of its own. */
  alone: number[]
  /** Calls to always the same of many. */
  one: number[]
  /** Calls to each of many in turn. */
  each: number[]
}

/** After so many calls of each kind V8 has compiled what they run: what is measured later is not faster for that. */
const WARM_UP_CALLS = 2_000
/** The number of turns of each kind: with many turns, other load of the machine affects all kinds alike. */
const TURNS = 20
const CALLS_A_TURN = 50

/** Measures calls, one at a time, of all kinds in turn. The first call to each of `many` is not measured. */
export async function timeCalls(alone: Call, many: readonly Call[]): Promise<CallTimes> {
  const [first] = many
  if (first === undefined) throw new Error('there is nothing to call')
  for (const call of many) await call()
  for (let warm = 0; warm < WARM_UP_CALLS; warm++) {
    await alone()
    await first()
  }
  const times: CallTimes = { alone: [], one: [], each: [] }
  for (let turn = 0; turn < TURNS; turn++) {
    for (let at = 0; at < CALLS_A_TURN; at++) times.alone.push(await timeCall(alone))
    for (let at = 0; at < CALLS_A_TURN; at++) times.one.push(await timeCall(first))
    for (let at = 0; at < CALLS_A_TURN; at++) {
      times.each.push(await timeCall(many[(turn * CALLS_A_TURN + at) % many.length] ?? first))
    }
  }
  return times
}

async function timeCall(call: Call): Promise<number> {
  const startedAt = performance.now()
  await call()
  return performance.now() - startedAt
}
