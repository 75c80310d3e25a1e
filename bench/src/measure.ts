import type { BenchRow } from './bench-section.ts'

/** Milliseconds that `run` takes. */
async function timeMs(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return performance.now() - startedAt
}

/** The middle one; of an even count the mean of both. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  if (low === undefined || high === undefined) throw new Error('nothing was measured')
  return (low + high) / 2
}

export interface Contender {
  name: string
  run: () => Promise<unknown>
}

/**
 * Medians in milliseconds of several things, measured in turn: one of each, `rounds` times, so that what the
 * machine does meanwhile falls on all alike. A tenth of the rounds goes before, unmeasured. Ratios are to the first.
 */
export async function compareInTurn(rounds: number, contenders: readonly Contender[]): Promise<BenchRow[]> {
  const measured = contenders.map(({ name, run }) => ({ name, run, times: [] as number[] }))
  for (let round = -Math.ceil(rounds / 10); round < rounds; round++) {
    for (const { run, times } of measured) {
      const took = await timeMs(run)
      if (round >= 0) times.push(took)
    }
  }
  const medians = measured.map(({ times }) => median(times))
  return measured.map(({ name }, index) => {
    const own = medians[index] ?? Number.NaN
    return { name, median: own, unit: 'ms', ratio: own / (medians[0] ?? Number.NaN) }
  })
}
