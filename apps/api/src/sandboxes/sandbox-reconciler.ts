import { randomUUID } from 'node:crypto'
import type { SandboxReport, SandboxStep } from '@atoll/protocol'
import { sandboxSteps, shownState } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import { createDeadline } from './deadline.ts'
import type { SandboxChange, SandboxChanges } from './sandbox-changes.ts'
import type { SandboxLeaseStore } from './sandbox-lease-store.ts'
import { LeaseLostError, takeStep } from './sandbox-steps.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { reasonOf, verdictOn } from './step-failure.ts'

/** Bounds of reconciliation; times in milliseconds. */
export interface ReconcilerLimits {
  /** Steps in flight in this replica. */
  maxSteps: number
  stepDeadlineMs: number
  /** How long a toolbox of an attempt that was cut short has to dial home before it is started anew. */
  adoptWaitMs: number
  /** How long a replica that died keeps others from its rows. */
  leaseMs: number
  /** The safety net under lost notifications. */
  pollMs: number
  /** Tries of one step before the sandbox is in error. */
  maxAttempts: number
  /** Before the second try; doubled for each further one. */
  retryMinMs: number
  retryMaxMs: number
}

export const reconcilerLimits: Readonly<ReconcilerLimits> = Object.freeze({
  maxSteps: 64,
  stepDeadlineMs: 20_000,
  adoptWaitMs: 5_000,
  leaseMs: 15_000,
  pollMs: 5_000,
  maxAttempts: 3,
  retryMinMs: 250,
  retryMaxMs: 30_000,
})

/** Renewals in the time of one lease: two may be lost. */
const RENEWALS_PER_LEASE = 3

export interface ReconcilerOptions {
  store: Pick<SandboxStore, 'change'>
  leases: SandboxLeaseStore
  runners: {
    /** Runners that this replica can call now. */
    readyIds(): string[]
    client(runnerId: string): RunnerClient | undefined
    /** Calls `handler` whenever a runner has become ready. */
    onReady(handler: () => void): void
  }
  tunnels: ToolboxTunnels
  changes: SandboxChanges
  log: Logger
  limits?: Partial<ReconcilerLimits>
}

/** Drives stored states towards desired ones: docs/spec/sandbox-state.md, R1 to R7. */
export interface SandboxReconciler extends AsyncDisposable {
  start(): void
  /** Looks for work now. */
  wake(): void
}

/** Works from `start` until disposed, which cuts short the steps in flight and gives their leases back. */
export function createSandboxReconciler(options: ReconcilerOptions): SandboxReconciler {
  return new Reconciler(options)
}

/** One row being driven. */
interface Drive {
  controller: AbortController
  step: SandboxStep
  /** The newest change heard of meanwhile. */
  hint: SandboxChange | undefined
  /** The row was leased here once more meanwhile. */
  leasedAgain: boolean
}

class Reconciler implements SandboxReconciler {
  private readonly options: ReconcilerOptions
  private readonly limits: ReconcilerLimits
  private readonly owner = randomUUID()
  private readonly drives = new Map<string, Drive>()
  private readonly work = new Set<Promise<void>>()
  private readonly retries = new Set<NodeJS.Timeout>()
  private timers: NodeJS.Timeout[] = []
  private unsubscribe: () => void = () => undefined
  private looking = false
  private lookAgain = false
  private saturated = false
  private closed = false

  constructor(options: ReconcilerOptions) {
    this.options = options
    this.limits = { ...reconcilerLimits, ...options.limits }
  }

  start(): void {
    const { leaseMs, pollMs } = this.limits
    this.unsubscribe = this.options.changes.subscribe((change) => this.onChange(change))
    this.options.runners.onReady(() => this.wake())
    this.timers = [
      setInterval(() => this.wake(), pollMs),
      setInterval(() => this.track(this.renew()), leaseMs / RENEWALS_PER_LEASE),
    ]
    this.wake()
  }

  wake(): void {
    this.lookAgain = true
    if (!this.looking && !this.closed) this.track(this.look())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true
    this.unsubscribe()
    for (const timer of this.timers) clearInterval(timer)
    for (const timer of this.retries) clearTimeout(timer)
    for (const drive of this.drives.values()) drive.controller.abort(new LeaseLostError())
    while (this.work.size > 0) await Promise.all(this.work)
  }

  private onChange(change: SandboxChange | 'all'): void {
    if (change === 'all') {
      this.wake()
      return
    }
    const drive = this.drives.get(change.id)
    if (drive === undefined) {
      if (sandboxSteps[shownState(change)] !== 'none') this.wake()
      return
    }
    drive.hint = change
    // R6: what is being done for a sandbox that shall go is of no use to anyone.
    if (change.desiredState === 'destroyed' && drive.step !== 'remove') drive.controller.abort(new LeaseLostError())
  }

  private track(work: Promise<void>): void {
    const settled = work
      .catch((error: unknown) => {
        this.options.log.error({ err: error }, 'reconciliation failed; it is tried again')
      })
      .finally(() => this.work.delete(settled))
    this.work.add(settled)
  }

  private async look(): Promise<void> {
    this.looking = true
    try {
      while (this.lookAgain && !this.closed) {
        this.lookAgain = false
        await this.leaseWork()
      }
    } finally {
      this.looking = false
    }
  }

  private async leaseWork(): Promise<void> {
    const limit = this.limits.maxSteps - this.drives.size
    const runnerIds = this.options.runners.readyIds()
    this.saturated = limit <= 0
    if (this.saturated || runnerIds.length === 0) return
    const { leaseMs } = this.limits
    const rows = await this.options.leases.lease({ owner: this.owner, runnerIds, limit, leaseMs })
    this.saturated = rows.length === limit
    for (const row of rows) {
      const drive = this.drives.get(row.id)
      // A row whose lease ran out while it is worked on here is worked on still, under the new lease.
      if (drive === undefined) this.track(this.drive(row))
      else drive.leasedAgain = true
    }
  }

  private async renew(): Promise<void> {
    await this.options.leases.renew(this.owner, [...this.drives.keys()], this.limits.leaseMs)
  }

  /** Takes steps for one row until none is due, one fails, or the lease is gone. */
  private async drive(row: SandboxRow): Promise<void> {
    const drive: Drive = { controller: new AbortController(), step: 'none', hint: undefined, leasedAgain: false }
    this.drives.set(row.id, drive)
    let current: SandboxRow | undefined = row
    try {
      while (current !== undefined) {
        // The record of the last step may have been on its way when the deletion came.
        if (drive.hint?.desiredState === 'destroyed' && current.desiredState !== 'destroyed') {
          current = await this.options.leases.reload(row.id, this.owner)
          if (current === undefined) break
        }
        drive.step = sandboxSteps[shownState(current)]
        if (drive.step === 'none' || this.closed) break
        current = await this.advance(current, drive)
      }
      if (this.closed) await this.options.leases.release(row.id, this.owner)
    } finally {
      this.drives.delete(row.id)
      // It may have ended before it could see what the new lease was for: whoever wants the row takes it afresh.
      if (drive.leasedAgain) await this.options.leases.release(row.id, this.owner)
      if (this.saturated || drive.leasedAgain || isNews(drive.hint, current)) this.wake()
    }
  }

  /** One step and its record. Undefined when there is nothing more to do here for now. */
  private async advance(row: SandboxRow, drive: Drive): Promise<SandboxRow | undefined> {
    const { step } = drive
    if (step === 'none') return row
    const runner = this.options.runners.client(row.runnerId)
    if (runner === undefined) {
      await this.options.leases.release(row.id, this.owner)
      return undefined
    }
    const { tunnels, leases } = this.options
    const context = { runner, tunnels, leases, leaseOwner: this.owner, adoptWaitMs: this.limits.adoptWaitMs }
    drive.controller = new AbortController()
    using deadline = createDeadline(drive.controller.signal, this.limits.stepDeadlineMs)
    let report: SandboxReport
    try {
      report = await takeStep(context, { row, step }, deadline.signal)
    } catch (error) {
      return await this.afterFailure(row, drive, error)
    }
    return await this.record(row.id, report)
  }

  private async record(id: string, event: SandboxReport, reason?: string): Promise<SandboxRow | undefined> {
    const request = { id, event, actor: { kind: 'reconciler' as const }, leaseOwner: this.owner }
    const result = await this.options.store.change(reason === undefined ? request : { ...request, reason })
    return result?.row
  }

  private async afterFailure(row: SandboxRow, drive: Drive, error: unknown): Promise<SandboxRow | undefined> {
    if (drive.controller.signal.aborted || error instanceof LeaseLostError) {
      return await this.options.leases.reload(row.id, this.owner)
    }
    const { log } = this.options
    const step = drive.step
    log.warn({ err: error, sandboxId: row.id, step, attempt: row.attempts + 1 }, 'a step failed')
    const verdict = verdictOn(error)
    if (verdict === 'away') {
      await this.options.leases.release(row.id, this.owner)
      return undefined
    }
    const last = verdict === 'permanent' || row.attempts + 1 >= this.limits.maxAttempts
    if (last && step !== 'remove') return await this.giveUp(row, drive, error)
    const delayMs = Math.min(this.limits.retryMinMs * 2 ** Math.min(row.attempts, 20), this.limits.retryMaxMs)
    await this.options.leases.postpone(row.id, this.owner, delayMs)
    this.wakeAfter(delayMs)
    return undefined
  }

  private async giveUp(row: SandboxRow, drive: Drive, error: unknown): Promise<SandboxRow | undefined> {
    using deadline = createDeadline(drive.controller.signal, this.limits.stepDeadlineMs)
    // What could not be used shall not go on running; should this fail too, the next connection of its runner ends it.
    await this.options.runners
      .client(row.runnerId)
      ?.stop(row.id, { graceMs: 0 }, deadline.signal)
      .catch((failure: unknown) => this.options.log.info({ err: failure, sandboxId: row.id }, 'no stop after an error'))
    this.options.tunnels.disconnect(row.id, 'the sandbox is in error')
    return await this.record(row.id, 'failed', reasonOf(error, drive.step))
  }

  private wakeAfter(delayMs: number): void {
    const timer = setTimeout(() => {
      this.retries.delete(timer)
      this.wake()
    }, delayMs)
    this.retries.add(timer)
  }
}

/** Whether `hint` asks for a step that the row as last seen does not know of. */
function isNews(hint: SandboxChange | undefined, row: SandboxRow | undefined): boolean {
  if (hint === undefined || sandboxSteps[shownState(hint)] === 'none') return false
  return hint.state !== row?.state || hint.desiredState !== row.desiredState
}
