import { performance } from 'node:perf_hooks'
import type { TunnelClock } from './types.ts'

/** The system's monotonic clock. */
export const systemClock: TunnelClock = {
  now: () => performance.now(),
  after(delayMs, call) {
    const timer = setTimeout(call, delayMs)
    return () => clearTimeout(timer)
  },
}
