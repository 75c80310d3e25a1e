import { randomUUID } from 'node:crypto'
import type { Logger } from '@atoll/service'

/** Bounds of a loop; times in milliseconds. */
export interface LeaseLoopLimits {
  /** What is worked on at once in this replica. */
  maxJobs: number
  /** How long a replica that died keeps others from what it holds. */
  leaseMs: number
  /** The safety net under lost notifications. */
  pollMs: number
}

/** Renewals in the time of one lease: two may be lost. */
const RENEWALS_PER_LEASE = 3

/** Thrown, and the reason of an abort, when nothing may be done under a lease any more: another has it, or it is of no use. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/** Work on one leased thing. */
export interface LeaseJob {
  /** Cuts short what is under way; whoever takes several steps has one for each. */
  controller: AbortController
}

export interface LeaseRequest {
  owner: string
  limit: number
  leaseMs: number
}

/** Leases as the loop handles them. */
export interface HeldLeases {
  /** Extends the leases of what is worked on. */
  renew(owner: string, ids: readonly string[], leaseMs: number): Promise<void>
  /** Gives a lease back. */
  release(id: string, owner: string): Promise<void>
}

/** What a loop works on, and how. */
export interface LeaseWork<Item extends { readonly id: string }, Job extends LeaseJob> {
  /** For the log. */
  readonly what: string
  readonly leases: HeldLeases
  /** Leases at most `limit` items that are due and that nobody else holds. */
  lease(request: LeaseRequest): Promise<Item[]>
  /** The job of an item just leased. */
  begin(item: Item): Job
  /** Works until nothing is left to do here for now, and gives the lease back. */
  drive(item: Item, job: Job): Promise<void>
  /** Whether there may be more to do once this job is over; asked in the moment in which it ends, so that no news is missed. */
  isMore(job: Job): boolean
  /** What else is done at each look. */
  tidy?(): Promise<void>
}

/** A place in a loop that is kept. Disposing gives it away, unless it was taken. */
export interface KeptPlace<Item> extends Disposable {
  /** Works on an item that was leased by the loop's owner meanwhile, without looking for it. */
  take(item: Item): void
}

export interface LeaseLoopOptions<Item extends { readonly id: string }, Job extends LeaseJob> {
  work: LeaseWork<Item, Job>
  limits: LeaseLoopLimits
  log: Logger
}

/**
 * Leases what is due and works on it: at each wake and each poll, as much at once as the limits allow, its leases renewed
 * meanwhile. From `start` until disposed, which cuts short what is under way and waits for its end.
 */
export class LeaseLoop<Item extends { readonly id: string }, Job extends LeaseJob> implements AsyncDisposable {
  /** Under which everything here is leased. */
  readonly owner = randomUUID()
  private readonly options: LeaseLoopOptions<Item, Job>
  /** By the item's id. */
  private readonly active = new Map<string, { job: Job; leasedAgain: boolean }>()
  private readonly running = new Set<Promise<void>>()
  private readonly retries = new Set<NodeJS.Timeout>()
  private timers: NodeJS.Timeout[] = []
  /** Places kept for what is being leased elsewhere. */
  private kept = 0
  private looking = false
  private lookAgain = false
  /** There may be more to lease than there was room for. */
  private saturated = false
  private disposed = false

  constructor(options: LeaseLoopOptions<Item, Job>) {
    this.options = options
  }

  /** Nothing more is begun, and what is under way ends as soon as it can. */
  get closed(): boolean {
    return this.disposed
  }

  /** What is worked on with this id. */
  job(id: string): Job | undefined {
    return this.active.get(id)?.job
  }

  jobs(): Job[] {
    return [...this.active.values()].map(({ job }) => job)
  }

  start(): void {
    const { leaseMs, pollMs } = this.options.limits
    this.timers = [
      setInterval(() => this.wake(), pollMs),
      setInterval(() => this.track(this.renew()), leaseMs / RENEWALS_PER_LEASE),
    ]
    this.wake()
  }

  /** Keeps a place for an item that its maker leases in this loop's name. Undefined while there is none. */
  keepPlace(): KeptPlace<Item> | undefined {
    const isWorking = this.timers.length > 0 && !this.disposed
    if (!isWorking || this.room <= 0) return undefined
    this.kept += 1
    let isKept = true
    const giveUp = () => {
      if (isKept) this.kept -= 1
      isKept = false
    }
    return {
      take: (item) => {
        giveUp()
        // Its lease may have run out before it was handed over, and been taken by a look of this very loop.
        if (!this.active.has(item.id)) this.track(this.drive(item))
      },
      [Symbol.dispose]: () => {
        const wasKept = isKept
        giveUp()
        if (wasKept && this.saturated) this.wake()
      },
    }
  }

  /** Looks for work now. */
  wake(): void {
    this.lookAgain = true
    if (!this.looking && !this.disposed) this.track(this.look())
  }

  /** Looks once more in so many milliseconds. */
  wakeAfter(delayMs: number): void {
    if (this.disposed) return
    const timer = setTimeout(() => {
      this.retries.delete(timer)
      this.wake()
    }, delayMs)
    this.retries.add(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true
    for (const timer of this.timers) clearInterval(timer)
    for (const timer of this.retries) clearTimeout(timer)
    for (const { controller } of this.jobs()) controller.abort(new LeaseLostError())
    while (this.running.size > 0) await Promise.all(this.running)
  }

  private get room(): number {
    return this.options.limits.maxJobs - this.active.size - this.kept
  }

  private track(work: Promise<void>): void {
    const settled = work
      .catch((error: unknown) => {
        this.options.log.error({ err: error, what: this.options.work.what }, 'reconciliation failed; it is tried again')
      })
      .finally(() => this.running.delete(settled))
    this.running.add(settled)
  }

  private async look(): Promise<void> {
    this.looking = true
    try {
      while (this.lookAgain && !this.disposed) {
        this.lookAgain = false
        await this.leaseWork()
        await this.options.work.tidy?.()
      }
    } finally {
      this.looking = false
    }
  }

  private async leaseWork(): Promise<void> {
    const { work, limits } = this.options
    const limit = this.room
    this.saturated = limit <= 0
    if (this.saturated) return
    const items = await work.lease({ owner: this.owner, limit, leaseMs: limits.leaseMs })
    this.saturated = items.length === limit
    for (const item of items) {
      const active = this.active.get(item.id)
      // What is worked on though its lease ran out is worked on still, under the new lease.
      if (active === undefined) this.track(this.drive(item))
      else active.leasedAgain = true
    }
  }

  private async renew(): Promise<void> {
    const ids = [...this.active.keys()]
    await this.options.work.leases.renew(this.owner, ids, this.options.limits.leaseMs)
  }

  private async drive(item: Item): Promise<void> {
    const { work } = this.options
    const active = { job: work.begin(item), leasedAgain: false }
    this.active.set(item.id, active)
    try {
      await work.drive(item, active.job)
    } finally {
      this.active.delete(item.id)
      const isMore = work.isMore(active.job) || this.saturated
      // It may have ended before it could see what the new lease was for: whoever wants it takes it afresh.
      if (active.leasedAgain) await work.leases.release(item.id, this.owner)
      if (isMore || active.leasedAgain) this.wake()
    }
  }
}

/** Bounds of trying again, in milliseconds. */
export interface RetryLimits {
  /** Before the second try; doubled for each further one. */
  retryMinMs: number
  retryMaxMs: number
}

/** How long to wait after a failure that `attempts` others went before, in milliseconds. */
export function retryDelayMs(attempts: number, { retryMinMs, retryMaxMs }: RetryLimits): number {
  return Math.min(retryMinMs * 2 ** Math.min(attempts, 20), retryMaxMs)
}
