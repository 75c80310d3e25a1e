import type { Logger } from '@atoll/service'
import { createDeadline } from './deadline.ts'
import type { LeaseJob, LeaseLoopLimits, LeaseRequest, LeaseWork, RetryLimits } from './lease-loop.ts'
import { LeaseLoop, LeaseLostError, retryDelayMs } from './lease-loop.ts'
import type { RowChange, RowChanges } from './row-changes.ts'
import type { RowLeases } from './row-leases.ts'

/** Bounds of reconciliation; times in milliseconds. */
export interface RowReconcilerLimits extends LeaseLoopLimits, RetryLimits {
  /** Tries of one step before it is given up. */
  maxAttempts: number
}

const rowReconcilerLimits: Readonly<RowReconcilerLimits> = Object.freeze({
  maxJobs: 64,
  leaseMs: 15_000,
  pollMs: 5_000,
  maxAttempts: 3,
  retryMinMs: 250,
  retryMaxMs: 30_000,
})

/**
 * The verdict on a failed step. `away`: the runner that was called has gone, which says nothing of the step.
 * `permanent`: another try would fail the same way.
 */
export type RowVerdict = 'away' | 'permanent' | 'passing'

/** The columns of a row that the loop needs. */
export interface LeasedRow<State extends string> {
  readonly id: string
  readonly state: State
  readonly attempts: number
}

export interface TakingStep {
  /** The lease's owner. */
  readonly owner: string
  readonly signal: AbortSignal
}

/** The steps for the rows of one table, and how they are recorded. */
export interface RowWork<State extends string, Row extends LeasedRow<State>, Event> {
  /** The name of the rows in the log. */
  readonly what: string
  readonly leases: RowLeases
  /** Returns the current row while `owner` holds its lease. */
  read(id: string, owner: string): Promise<Row | undefined>
  /** Whether a step is due in this state. */
  isDue(state: State): boolean
  /** How long the step that is due may still take, in milliseconds. */
  leftMs(row: Row): number
  /** Takes the step and says what to record. Repeating it after a crash anywhere inside does no harm. */
  take(row: Row, step: TakingStep): Promise<Event>
  /** Applies an event and returns the new row. Returns undefined when `owner` does not hold the lease. */
  record(id: string, event: Event, owner: string): Promise<Row | undefined>
  verdictOn(error: unknown): RowVerdict
  /** Returns the event to record when the step is given up; undefined if it is never given up. */
  giveUp(row: Row, error: unknown): Event | undefined
}

export interface RowReconcilerOptions<State extends string, Row extends LeasedRow<State>, Event> {
  work: RowWork<State, Row, Event>
  changes: RowChanges<State>
  runners: {
    /** Runners that this replica can call now. */
    readyIds(): string[]
    /** Calls `handler` whenever a runner has become ready. */
    onReady(handler: () => void): void
  }
  log: Logger
  limits?: Partial<RowReconcilerLimits> | undefined
}

/**
 * Leases rows and takes their steps, from `start` until disposed. Disposal aborts the steps under way and gives the
 * leases back.
 */
export interface RowReconciler extends AsyncDisposable {
  start(): void
  /** Looks for work now. */
  wake(): void
}

export function createRowReconciler<State extends string, Row extends LeasedRow<State>, Event>(
  options: RowReconcilerOptions<State, Row, Event>,
): RowReconciler {
  return new Reconciler(options)
}

/** One row being driven. */
interface Drive<State extends string> extends LeaseJob {
  /** The state in which a step is under way; undefined while none is. */
  state: State | undefined
}

class Reconciler<State extends string, Row extends LeasedRow<State>, Event>
  implements RowReconciler, LeaseWork<{ id: string }, Drive<State>>
{
  readonly what: string
  readonly leases: RowLeases
  private readonly options: RowReconcilerOptions<State, Row, Event>
  private readonly limits: RowReconcilerLimits
  private readonly loop: LeaseLoop<{ id: string }, Drive<State>>
  private unsubscribe: () => void = () => undefined

  constructor(options: RowReconcilerOptions<State, Row, Event>) {
    this.options = options
    this.what = options.work.what
    this.leases = options.work.leases
    this.limits = { ...rowReconcilerLimits, ...options.limits }
    this.loop = new LeaseLoop({ work: this, limits: this.limits, log: options.log })
  }

  start(): void {
    this.unsubscribe = this.options.changes.subscribe((change) => this.onChange(change))
    this.options.runners.onReady(() => this.wake())
    this.loop.start()
  }

  wake(): void {
    this.loop.wake()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.unsubscribe()
    await this.loop[Symbol.asyncDispose]()
  }

  async lease(request: LeaseRequest): Promise<{ id: string }[]> {
    const ids = await this.leases.lease({ ...request, runnerIds: this.options.runners.readyIds() })
    return ids.map((id) => ({ id }))
  }

  begin(): Drive<State> {
    return { controller: new AbortController(), state: undefined }
  }

  /** Takes steps for one row until none is due, one fails, or the lease is gone. */
  async drive({ id }: { id: string }, drive: Drive<State>): Promise<void> {
    const { work } = this.options
    let row = await work.read(id, this.loop.owner)
    while (row !== undefined && work.isDue(row.state) && !this.loop.closed) {
      drive.state = row.state
      row = await this.advance(row, drive)
    }
    await this.leases.release(id, this.loop.owner)
  }

  isMore({ controller }: Drive<State>): boolean {
    return controller.signal.aborted
  }

  private onChange(change: RowChange<State> | 'all'): void {
    if (change === 'all') {
      this.wake()
      return
    }
    const drive = this.loop.job(change.id)
    const { isDue } = this.options.work
    if (drive === undefined) {
      if (isDue(change.state)) this.wake()
    } else if (drive.state !== undefined && drive.state !== change.state) {
      // The row was changed outside this job, so the step under way is of no use.
      drive.controller.abort(new LeaseLostError())
    }
  }

  /** Takes one step and records it. Returns undefined when there is nothing more to do here for now. */
  private async advance(row: Row, drive: Drive<State>): Promise<Row | undefined> {
    const { work } = this.options
    drive.controller = new AbortController()
    const leftMs = work.leftMs(row)
    if (leftMs <= 0) return await this.afterFailure(row, new DOMException('its time is up', 'TimeoutError'))
    using deadline = createDeadline(drive.controller.signal, leftMs)
    let event: Event
    try {
      event = await work.take(row, { owner: this.loop.owner, signal: deadline.signal })
    } catch (error) {
      if (drive.controller.signal.aborted) return undefined
      return await this.afterFailure(row, deadline.signal.aborted ? deadline.signal.reason : error)
    }
    drive.state = undefined
    return await work.record(row.id, event, this.loop.owner)
  }

  private async afterFailure(row: Row, error: unknown): Promise<Row | undefined> {
    const { log, work } = this.options
    const verdict = isTimeout(error) ? 'permanent' : work.verdictOn(error)
    if (verdict === 'away') return undefined
    log.warn({ err: error, what: work.what, id: row.id, state: row.state, attempt: row.attempts + 1 }, 'a step failed')
    if (verdict === 'permanent' || row.attempts + 1 >= this.limits.maxAttempts) {
      const event = work.giveUp(row, error)
      if (event !== undefined) return await work.record(row.id, event, this.loop.owner)
    }
    const delayMs = retryDelayMs(row.attempts, this.limits)
    await this.leases.postpone(row.id, this.loop.owner, delayMs)
    this.loop.wakeAfter(delayMs)
    return undefined
  }
}

/** Whether the error says that the step's own time is up. */
export function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError'
}
