import { randomUUID } from 'node:crypto'
import type { Logger } from '@atoll/service'

/** Bounds of a loop; times in milliseconds. */
export interface LeaseLoopLimits {
  /** Items that this replica works on at once. */
  maxJobs: number
  /** How long the leases of a dead replica keep others from its items. */
  leaseMs: number
  /** The time between two looks for work without a notification, because notifications may be lost. */
  pollMs: number
}

/** Renewals in the time of one lease: two may be lost. */
const RENEWALS_PER_LEASE = 3

/**
 * Thrown, and given as the reason of an abort, when the owner may no longer work under a lease: another replica holds
 * it, or the work is of no use any more.
 */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/** Work on one leased thing. */
export interface LeaseJob {
  /** Aborts the work under way. A job of several steps sets a new controller for each. */
  controller: AbortController
}

export interface LeaseRequest {
  owner: string
  limit: number
  leaseMs: number
}

/** The operations on leases that the loop needs. */
export interface HeldLeases {
  /** Extends the leases of the items that are worked on. */
  renew(owner: string, ids: readonly string[], leaseMs: number): Promise<void>
  /** Gives a lease back. */
  release(id: string, owner: string): Promise<void>
}

/** The items that a loop works on, and how it does so. */
export interface LeaseWork<Item extends { readonly id: string }, Job extends LeaseJob> {
  /** The name of the items in the log. */
  readonly what: string
  readonly leases: HeldLeases
  /** Leases at most `limit` items that are due and that no other owner holds. */
  lease(request: LeaseRequest): Promise<Item[]>
  /** The job of an item just leased. */
  begin(item: Item): Job
  /** Works on the item until nothing is left to do here for now, and gives its lease back. */
  drive(item: Item, job: Job): Promise<void>
  /**
   * Whether there may be more to do after this job. The loop asks at the moment the job ends, so that no change is
   * missed.
   */
  isMore(job: Job): boolean
  /** Further work of each look for items. */
  tidy?(): Promise<void>
}

/** A place in a loop, reserved for one item. Disposing frees it unless it was taken. */
export interface KeptPlace<Item> extends Disposable {
  /** Starts work on an item that was leased meanwhile under the loop's owner, without a look for it. */
  take(item: Item): void
}

export interface LeaseLoopOptions<Item extends { readonly id: string }, Job extends LeaseJob> {
  work: LeaseWork<Item, Job>
  limits: LeaseLoopLimits
  log: Logger
}

/**
 * Leases the items that are due and works on them: at each wake and each poll, as many at once as the limits allow. It
 * renews its leases meanwhile. It runs from `start` until disposed; disposal aborts the work under way and waits for
 * its end.
 */
export class LeaseLoop<Item extends { readonly id: string }, Job extends LeaseJob> implements AsyncDisposable {
  /** The owner of every lease that this loop takes. */
  readonly owner = randomUUID()
  private readonly options: LeaseLoopOptions<Item, Job>
  /** The jobs under way, by the item's id. */
  private readonly active = new Map<string, { job: Job; leasedAgain: boolean }>()
  private readonly running = new Set<Promise<void>>()
  private readonly retries = new Set<NodeJS.Timeout>()
  private timers: NodeJS.Timeout[] = []
  /** Places reserved for items that are being leased outside this loop. */
  private kept = 0
  private looking = false
  private lookAgain = false
  /** More items may be due than the last look had room for. */
  private saturated = false
  private disposed = false

  constructor(options: LeaseLoopOptions<Item, Job>) {
    this.options = options
  }

  /** True once disposed: the loop begins no more work, and the work under way ends as soon as it can. */
  get closed(): boolean {
    return this.disposed
  }

  /** Returns the job of the item with this id while it is worked on. */
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

  /** Reserves a place for an item that its maker leases in this loop's name. Returns undefined while there is no room. */
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
        // The item's lease may have run out before the handover, and a look of this loop may have leased it again.
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

  /** Looks for work once more after `delayMs` milliseconds. */
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
      // An item whose lease ran out during its job is still worked on, now under the new lease.
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
      // The job may have ended before it saw why the item was leased again: the lease goes back, and the item is leased
      // afresh.
      if (active.leasedAgain) await work.leases.release(item.id, this.owner)
      if (isMore || active.leasedAgain) this.wake()
    }
  }
}

/** Bounds of trying again, in milliseconds. */
export interface RetryLimits {
  /** The delay before the second try; it doubles for each further one. */
  retryMinMs: number
  retryMaxMs: number
}

/** Returns how long to wait after a failure that followed `attempts` earlier ones, in milliseconds. */
export function retryDelayMs(attempts: number, { retryMinMs, retryMaxMs }: RetryLimits): number {
  return Math.min(retryMinMs * 2 ** Math.min(attempts, 20), retryMaxMs)
}
