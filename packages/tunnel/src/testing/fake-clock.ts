import type { TunnelClock } from '../types.ts'

interface Timer {
  at: number
  call: () => void
}

/** A clock that stands still until `advance` or `advanceToNext` is called. */
export class FakeClock implements TunnelClock {
  private time = 0
  private timers: Timer[] = []

  now(): number {
    return this.time
  }

  after(delayMs: number, call: () => void): () => void {
    const timer = { at: this.time + delayMs, call }
    this.timers.push(timer)
    return () => {
      this.timers = this.timers.filter((other) => other !== timer)
    }
  }

  get waiting(): number {
    return this.timers.length
  }

  /** Moves the clock on by `ms` and runs the timers that fall due, in order. */
  advance(ms: number): void {
    const until = this.time + ms
    for (let next = this.dueBy(until); next !== undefined; next = this.dueBy(until)) this.run(next)
    this.time = until
  }

  /** Moves the clock on to the next timer and runs it; returns false if there is none. */
  advanceToNext(): boolean {
    const next = this.dueBy(Number.POSITIVE_INFINITY)
    if (next !== undefined) this.run(next)
    return next !== undefined
  }

  private run(timer: Timer): void {
    this.timers = this.timers.filter((other) => other !== timer)
    this.time = Math.max(this.time, timer.at)
    timer.call()
  }

  private dueBy(until: number): Timer | undefined {
    const due = this.timers.filter((timer) => timer.at <= until)
    return due.reduce<Timer | undefined>((first, timer) => (first && first.at <= timer.at ? first : timer), undefined)
  }
}
