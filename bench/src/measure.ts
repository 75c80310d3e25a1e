import { setTimeout as delay } from 'node:timers/promises'
import type { BenchRow } from './bench-section.ts'

/**
 * The wait before each run with sandboxes or containers, in milliseconds, for the kernel to finish removing those of the
 * run before (network namespaces).
 */
export const SETTLE_MS = 500

/** Returns the milliseconds that `run` takes. */
async function timeMs(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return performance.now() - startedAt
}

/** Returns the middle value; of an even count the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  if (low === undefined || high === undefined) throw new Error('nothing was measured')
  return (low + high) / 2
}

/** Returns the value that a share (0 to 1) of the values does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]
  if (value === undefined) throw new Error('nothing was measured')
  return value
}

export interface Contender {
  name: string
  run: () => Promise<unknown>
  /** Runs after each run and is not measured. */
  after?: () => Promise<unknown>
}

export interface CompareOptions {
  /** The rounds before the measured ones; by default a tenth of their number. */
  unmeasuredRounds?: number
  /** The wait before each run, in milliseconds; by default none. */
  settleMs?: number
}

/**
 * Returns the medians, in milliseconds, of several contenders, measured in turn: one run of each, `rounds` times, so that
 * other load of the machine affects all alike. Some unmeasured rounds go before. Ratios are to the first contender.
 */
export async function compareInTurn(
  rounds: number,
  contenders: readonly Contender[],
  { unmeasuredRounds = Math.ceil(rounds / 10), settleMs = 0 }: CompareOptions = {},
): Promise<BenchRow[]> {
  const measured = contenders.map((contender) => ({ ...contender, times: [] as number[] }))
  for (let round = -unmeasuredRounds; round < rounds; round++) {
    for (const { run, after, times } of measured) {
      await delay(settleMs)
      const took = await timeMs(run)
      await after?.()
      if (round >= 0) times.push(took)
    }
  }
  const medians = measured.map(({ times }) => median(times))
  return measured.map(({ name }, index) => {
    const own = medians[index] ?? Number.NaN
    return { name, median: own, unit: 'ms', ratio: own / (medians[0] ?? Number.NaN) }
  })
}

/** Adds to the rows the targets that their ratios may not exceed, in the same order; undefined is no target. */
export function againstFirst(rows: readonly BenchRow[], targets: readonly (number | undefined)[]): BenchRow[] {
  return rows.map((row, index) => {
    const target = targets[index]
    if (target === undefined) return row
    return { ...row, target: `≤ ${target}`, ok: row.ratio !== undefined && row.ratio <= target }
  })
}
