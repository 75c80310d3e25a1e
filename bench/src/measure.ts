import { setTimeout as delay } from 'node:timers/promises'
import type { BenchRow } from './bench-section.ts'

/** For sandboxes and containers, before each run, in milliseconds: what the kernel still takes away of the one before (network namespaces) is not this one's. */
export const SETTLE_MS = 500

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

/** What a share (0 to 1) of the values does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]
  if (value === undefined) throw new Error('nothing was measured')
  return value
}

export interface Contender {
  name: string
  run: () => Promise<unknown>
  /** Follows each run and is not measured. */
  after?: () => Promise<unknown>
}

export interface CompareOptions {
  /** A tenth of the measured ones when absent. */
  unmeasuredRounds?: number
  /** Before each run, in milliseconds; none when absent. */
  settleMs?: number
}

/**
 * Medians in milliseconds of several things, measured in turn: one of each, `rounds` times, so that what the
 * machine does meanwhile falls on all alike. Some rounds go before, unmeasured. Ratios are to the first.
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

/** Rows with what their ratios to the first one shall not exceed, in the same order; undefined is no target. */
export function againstFirst(rows: readonly BenchRow[], targets: readonly (number | undefined)[]): BenchRow[] {
  return rows.map((row, index) => {
    const target = targets[index]
    if (target === undefined) return row
    return { ...row, target: `≤ ${target}`, ok: row.ratio !== undefined && row.ratio <= target }
  })
}
