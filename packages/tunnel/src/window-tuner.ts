import type { TunnelClock, TunnelLimits } from './types.ts'

/** A window whose half is read within this many round trips may be what limits its sender. */
const HUNGRY_ROUND_TRIPS = 2

/** Sizes the receive windows of a link: fit for each exchange's path, and bounded over all of them. */
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

  /** How much to add to a window of `windowBytes` that was last granted at `grantedAt`; taken from the budget. */
  grow(windowBytes: number, grantedAt: number): number {
    const growth = Math.min(this.wanted(windowBytes, grantedAt) - windowBytes, this.budgetBytes)
    this.budgetBytes -= growth
    return growth
  }

  /** Gives an exchange's growth back to the budget. */
  release(windowBytes: number): void {
    this.budgetBytes += windowBytes - this.openingBytes
  }

  private wanted(windowBytes: number, grantedAt: number): number {
    if (windowBytes < this.initialBytes) return this.initialBytes
    const roundTripMs = this.leastRoundTripMs()
    if (roundTripMs === undefined) return windowBytes
    const hungry = this.now() - grantedAt < HUNGRY_ROUND_TRIPS * roundTripMs
    return hungry ? Math.min(windowBytes * 2, this.maxBytes) : windowBytes
  }
}
