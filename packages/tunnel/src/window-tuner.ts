import type { TunnelClock, TunnelLimits } from './types.ts'

/**
 * A shorter round trip, in milliseconds, is within this machine: a larger window would then carry no more, and other
 * exchanges on the link would wait longer for the bytes under way.
 */
const LEAST_REMOTE_ROUND_TRIP_MS = 1

/** Chooses the sizes of the receive windows of a link: by the round trip, and bounded over all exchanges together. */
export class WindowTuner {
  readonly openingBytes: number
  readonly initialBytes: number
  private readonly maxBytes: number
  private readonly clock: TunnelClock
  private readonly leastRoundTripMs: () => number | undefined
  private budgetBytes: number

  constructor(options: { limits: TunnelLimits; clock: TunnelClock; leastRoundTripMs: () => number | undefined }) {
    this.openingBytes = options.limits.openingWindowBytes
    this.initialBytes = options.limits.initialWindowBytes
    this.maxBytes = options.limits.maxWindowBytes
    this.budgetBytes = options.limits.maxLinkWindowBytes
    this.clock = options.clock
    this.leastRoundTripMs = options.leastRoundTripMs
  }

  now(): number {
    return this.clock.now()
  }

  /** Returns the bytes to add to a window of `windowBytes` last granted at `grantedAt`, and takes them from the budget. */
  grow(windowBytes: number, grantedAt: number): number {
    const growth = Math.min(this.wanted(windowBytes, grantedAt) - windowBytes, this.budgetBytes)
    this.budgetBytes -= growth
    return growth
  }

  /** Returns the growth of an exchange's window to the budget. */
  release(windowBytes: number): void {
    this.budgetBytes += windowBytes - this.openingBytes
  }

  private wanted(windowBytes: number, grantedAt: number): number {
    if (windowBytes < this.initialBytes) return this.initialBytes
    const roundTripMs = this.leastRoundTripMs()
    if (roundTripMs === undefined || roundTripMs < LEAST_REMOTE_ROUND_TRIP_MS) return windowBytes
    // Half of a window that limits its sender is read in half a round trip; half of one twice as large as needed takes one.
    const hungry = this.now() - grantedAt < roundTripMs
    return hungry ? Math.min(windowBytes * 2, this.maxBytes) : windowBytes
  }
}
