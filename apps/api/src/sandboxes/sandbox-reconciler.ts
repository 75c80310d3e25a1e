import type { SandboxReport, SandboxStep } from '@atoll/protocol'
import { sandboxSteps, shownState } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { createDeadline } from '../reconciliation/deadline.ts'
import type {
  KeptPlace,
  LeaseJob,
  LeaseLoopLimits,
  LeaseRequest,
  LeaseWork,
  RetryLimits,
} from '../reconciliation/lease-loop.ts'
import { LeaseLoop, LeaseLostError, retryDelayMs } from '../reconciliation/lease-loop.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import { FORK_TIMEOUT_MS, LAUNCH_TIMEOUT_MS, RESIZE_TIMEOUT_MS } from '../runners/runner-client.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { SandboxFiles } from './backups/sandbox-files.ts'
import { TRANSFER_DEADLINE_MS } from './backups/sandbox-files.ts'
import type { FirstLease } from './sandbox-change-store.ts'
import type { SandboxChange, SandboxChanges } from './sandbox-changes.ts'
import type { LeasedWork, SandboxLeaseStore } from './sandbox-lease-store.ts'
import { createToolboxToken, hashToken, statusOn, takeStep } from './sandbox-steps.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import type { SnapshotBringer } from './snapshot-bringer.ts'
import { isMissing, reasonOf, verdictOn } from './step-failure.ts'

/** Bounds of reconciliation; times in milliseconds. */
export interface ReconcilerLimits extends LeaseLoopLimits, RetryLimits {
  stepDeadlineMs: number
  /** The deadline of a sandbox that is made and started in one call. */
  launchDeadlineMs: number
  /** The deadline of a fork, whose files may have to be copied. */
  forkDeadlineMs: number
  /** The deadline of a resize with a larger disk. */
  resizeDeadlineMs: number
  /** The deadline of a step that copies files to or from the object store. */
  transferDeadlineMs: number
  /** How long the toolbox of an interrupted attempt has to dial home before the sandbox is started anew. */
  adoptWaitMs: number
  /** Tries of one step, counted from the last one with progress, before it is given up. */
  maxAttempts: number
}

export const reconcilerLimits: Readonly<ReconcilerLimits> = Object.freeze({
  maxJobs: 64,
  stepDeadlineMs: 20_000,
  launchDeadlineMs: LAUNCH_TIMEOUT_MS,
  forkDeadlineMs: FORK_TIMEOUT_MS,
  resizeDeadlineMs: RESIZE_TIMEOUT_MS,
  transferDeadlineMs: TRANSFER_DEADLINE_MS,
  adoptWaitMs: 5_000,
  leaseMs: 15_000,
  pollMs: 5_000,
  maxAttempts: 3,
  retryMinMs: 250,
  retryMaxMs: 30_000,
})

/** With the delays above, six and a half minutes: half a minute for the first seven, and half a minute for each further one. */
const MAX_TRANSFER_ATTEMPTS = 20

/** The limits that differ for copies of files: few at a time, and more tries while an object store or a disk fails. */
export const transferLimits: Partial<ReconcilerLimits> = Object.freeze({
  maxJobs: 4,
  maxAttempts: MAX_TRANSFER_ATTEMPTS,
})

/** How often it is looked whether a snapshot has come. In milliseconds. */
const SNAPSHOT_LOOK_MS = 1_000

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
  files: SandboxFiles
  /** Brings what is restored its snapshot. */
  snapshots: SnapshotBringer
  changes: SandboxChanges
  log: Logger
  /** The kind of due steps that this reconciler takes. It also deletes a sandbox whose row it has leased already. */
  work: LeasedWork
  limits?: Partial<ReconcilerLimits>
}

/** Drives stored states towards desired ones: docs/spec/sandbox-state.md, R1 to R7. */
export interface SandboxReconciler extends AsyncDisposable {
  start(): void
  /** Looks for work now. */
  wake(): void
  /** Returns a handover, by which the caller that writes a new row has this replica begin with it at once. */
  handOver(): Handover
}

/** Passes a new row on, from before it is written until its first step is taken. Disposing frees the place kept for it. */
export interface Handover extends Disposable {
  /**
   * Returns the lease to write a row with that begins in `creating` on this runner. Returns undefined if this replica cannot
   * call the runner or has no place free: then a replica with a free place finds the row.
   */
  lease(runnerId: string): FirstLease | undefined
  /** Begins with the row. The caller calls it after the commit. */
  complete(row: SandboxRow): void
}

/** Works from `start` until disposed, which aborts the steps in flight and gives their leases back. */
export function createSandboxReconciler(options: ReconcilerOptions): SandboxReconciler {
  return new Reconciler(options)
}

/** One row being driven. */
interface Drive extends LeaseJob {
  step: SandboxStep
  /** The token of the first step, if the row was written with its hash. */
  firstToken: string | undefined
  /** The row as last seen; undefined when there is nothing more to do here for now. */
  row: SandboxRow | undefined
  /** The newest change that was heard of meanwhile and asks for another step. */
  hint: SandboxChange | undefined
  /** Whether its step has moved a part of its files, and has others to move. */
  isMoving: boolean
}

/** A row just leased. */
interface LeasedSandbox {
  id: string
  row: SandboxRow
  firstToken?: string
}

class Reconciler implements SandboxReconciler, LeaseWork<LeasedSandbox, Drive> {
  readonly what = 'sandboxes'
  readonly leases: SandboxLeaseStore
  private readonly options: ReconcilerOptions
  private readonly limits: ReconcilerLimits
  private readonly loop: LeaseLoop<LeasedSandbox, Drive>
  private unsubscribe: () => void = () => undefined

  constructor(options: ReconcilerOptions) {
    this.options = options
    this.leases = options.leases
    this.limits = { ...reconcilerLimits, ...options.limits }
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

  handOver(): Handover {
    let place: KeptPlace<LeasedSandbox> | undefined
    let firstToken = ''
    return {
      lease: (runnerId) => {
        if (this.options.runners.client(runnerId) === undefined) return undefined
        place ??= this.loop.keepPlace()
        if (place === undefined) return undefined
        firstToken = createToolboxToken()
        return { owner: this.loop.owner, leaseMs: this.limits.leaseMs, tokenHash: hashToken(firstToken) }
      },
      complete: (row) => place?.take({ id: row.id, row, firstToken }),
      [Symbol.dispose]: () => place?.[Symbol.dispose](),
    }
  }

  async lease(request: LeaseRequest): Promise<LeasedSandbox[]> {
    const { leases, runners, work } = this.options
    const rows = await leases.lease({ ...request, runnerIds: runners.readyIds(), work })
    return rows.map((row) => ({ id: row.id, row }))
  }

  begin({ row, firstToken }: LeasedSandbox): Drive {
    return { controller: new AbortController(), step: 'none', firstToken, row, hint: undefined, isMoving: false }
  }

  /** Takes steps for one row until none is due, one fails, or the lease is gone. */
  async drive({ id }: LeasedSandbox, drive: Drive): Promise<void> {
    while (drive.row !== undefined) {
      const row = await this.refresh(drive.row, drive)
      drive.row = row
      if (row === undefined) break
      drive.step = sandboxSteps[shownState(row)]
      if (drive.step === 'none' || this.loop.closed) break
      if (!this.takes(drive.step)) {
        await this.leases.release(id, this.loop.owner)
        break
      }
      drive.row = await this.advance(row, drive)
    }
    if (this.loop.closed) await this.leases.release(id, this.loop.owner)
  }

  isMore({ hint, row }: Drive): boolean {
    return isNews(hint, row)
  }

  private onChange(change: SandboxChange | 'all'): void {
    if (change === 'all') {
      this.wake()
      return
    }
    const drive = this.loop.job(change.id)
    if (drive === undefined) {
      if (this.isMine(sandboxSteps[shownState(change)])) this.wake()
      return
    }
    drive.hint = isNews(change, drive.row) ? change : undefined
    // R6: a step for a sandbox that is to be deleted is of no use.
    if (change.desiredState === 'destroyed' && drive.step !== 'remove') drive.controller.abort(new LeaseLostError())
  }

  /** Reads the row anew if a deletion came while the last step was being recorded. */
  private async refresh(row: SandboxRow, { hint }: Drive): Promise<SandboxRow | undefined> {
    if (hint?.desiredState !== 'destroyed' || row.desiredState === 'destroyed') return row
    return await this.leases.reload(row.id, this.loop.owner)
  }

  private takes(step: SandboxStep): boolean {
    return step === 'remove' || this.isMine(step)
  }

  /** Returns whether this reconciler leases rows with this step. */
  private isMine(step: SandboxStep): boolean {
    return step !== 'none' && isTransfer(step) === (this.options.work === 'transfers')
  }

  /** Takes one step and records it. Returns undefined when there is nothing more to do here for now. */
  private async advance(row: SandboxRow, drive: Drive): Promise<SandboxRow | undefined> {
    const { step } = drive
    if (step === 'none') return row
    // A sandbox without a runner needs no call: it is recorded as removed.
    if (step === 'remove' && row.runnerId === null) return await this.record(row.id, 'removed')
    const runner = this.clientOf(row)
    if (runner === undefined) {
      await this.leases.release(row.id, this.loop.owner)
      return undefined
    }
    const { tunnels, leases, files, snapshots } = this.options
    const { firstToken } = drive
    drive.firstToken = undefined
    const context = {
      runner,
      tunnels,
      leases,
      files,
      snapshots,
      leaseOwner: this.loop.owner,
      firstToken,
      adoptWaitMs: this.limits.adoptWaitMs,
      toolboxWaitMs: this.limits.launchDeadlineMs,
      onProgress: (isMoving: boolean) => {
        drive.isMoving = isMoving
      },
    }
    drive.isMoving = false
    drive.controller = new AbortController()
    using deadline = createDeadline(drive.controller.signal, this.deadlineOf(row, step))
    let report: SandboxReport | readonly SandboxReport[] | undefined
    try {
      report = await takeStep(context, { row, step }, deadline.signal)
    } catch (error) {
      return await this.afterFailure(row, drive, error)
    }
    return report === undefined ? await this.lookAgain(row) : await this.record(row.id, report)
  }

  /** What waits for its snapshot takes no place meanwhile, and no try. */
  private async lookAgain({ id, attempts }: SandboxRow): Promise<undefined> {
    await this.leases.postpone(id, this.loop.owner, { attempts, delayMs: SNAPSHOT_LOOK_MS })
    this.loop.wakeAfter(SNAPSHOT_LOOK_MS)
  }

  private async record(
    id: string,
    event: SandboxReport | readonly SandboxReport[],
    reason?: string,
  ): Promise<SandboxRow | undefined> {
    const request = { id, event, actor: { kind: 'reconciler' as const }, leaseOwner: this.loop.owner }
    const result = await this.options.store.change(reason === undefined ? request : { ...request, reason })
    return result?.row
  }

  private async afterFailure(row: SandboxRow, drive: Drive, error: unknown): Promise<SandboxRow | undefined> {
    const isOver = () => drive.controller.signal.aborted || error instanceof LeaseLostError
    if (!isOver() && drive.step === 'make' && (await this.isMade(row, drive, error))) {
      drive.step = 'start'
      const made = await this.record(row.id, 'made')
      return made && (await this.afterFailure(made, drive, error))
    }
    if (isOver()) return await this.leases.reload(row.id, this.loop.owner)
    const { log } = this.options
    const step = drive.step
    // A try that moved some of the files begins the count anew.
    const earlier = drive.isMoving ? 0 : row.attempts
    const attempts = earlier + 1
    log.warn({ err: error, sandboxId: row.id, step, attempt: attempts }, 'a step failed')
    if (isMissing(error, step)) return await this.lose(row, error)
    const verdict = verdictOn(error)
    if (verdict === 'away') {
      await this.leases.release(row.id, this.loop.owner)
      return undefined
    }
    const last = verdict === 'permanent' || attempts >= this.limits.maxAttempts
    if (last && step !== 'remove') return await this.giveUp(row, drive, error)
    const delayMs = retryDelayMs(earlier, this.limits)
    await this.leases.postpone(row.id, this.loop.owner, { attempts, delayMs })
    this.loop.wakeAfter(delayMs)
    return undefined
  }

  /** Records a loss: the runner may have another disk for a while, so the files are neither given up nor taken for removed. */
  private async lose(row: SandboxRow, error: unknown): Promise<SandboxRow | undefined> {
    this.options.tunnels.disconnect(row.id, 'its runner does not have it')
    const result = await this.options.store.change({
      ...{ id: row.id, actor: { kind: 'reconciler' }, leaseOwner: this.loop.owner },
      event: ({ backupId }) => (backupId === null ? 'lost' : 'lostWithBackup'),
      reason: error instanceof Error ? error.message : String(error),
    })
    return result?.row
  }

  /** Returns whether the runner has the sandbox that it did not launch, which then failed to start. False if it cannot tell. */
  private async isMade(row: SandboxRow, drive: Drive, error: unknown): Promise<boolean> {
    const runner = this.clientOf(row)
    if (runner === undefined || verdictOn(error) === 'away') return false
    using patience = createDeadline(drive.controller.signal, this.limits.adoptWaitMs)
    try {
      return (await statusOn(runner, row.id, patience.signal)) !== undefined
    } catch {
      return false
    }
  }

  private async giveUp(row: SandboxRow, drive: Drive, error: unknown): Promise<SandboxRow | undefined> {
    if (drive.step === 'archive' && (await this.options.files.isSaved(row))) return await this.recordSaved(row)
    // The files are unchanged, so the sandbox needs no recovery.
    if (drive.step === 'archive' && verdictOn(error) === 'passing') {
      return await this.record(row.id, 'unsaved', reasonOf(error, drive.step))
    }
    using deadline = createDeadline(drive.controller.signal, this.limits.stepDeadlineMs)
    const runner = this.clientOf(row)
    // A sandbox in error must not keep running, and half of a restored archive must not stay. If this fails too, it is done
    // when the runner connects next.
    const ended =
      drive.step === 'restore'
        ? runner?.remove(row.id, deadline.signal)
        : runner?.stop(row.id, { graceMs: 0 }, deadline.signal)
    await Promise.resolve(ended).catch((failure: unknown) => {
      this.options.log.info({ err: failure, sandboxId: row.id }, 'no stop after an error')
    })
    this.options.tunnels.disconnect(row.id, 'the sandbox is in error')
    return await this.record(row.id, 'failed', reasonOf(error, drive.step))
  }

  /** Records `saved`: the runner may have removed the files already, and is asked again to remove the rest (L7). */
  private async recordSaved({ id, changedAt }: SandboxRow): Promise<undefined> {
    const event = (row: SandboxRow) => (row.changedAt.getTime() === changedAt.getTime() ? 'saved' : undefined)
    await this.options.store.change({ id, event, actor: { kind: 'reconciler' }, reason: 'left on its runner for now' })
  }

  private clientOf({ runnerId }: SandboxRow): RunnerClient | undefined {
    return runnerId === null ? undefined : this.options.runners.client(runnerId)
  }

  private deadlineOf({ diskGib, resizeDiskGib, forkedFromId }: SandboxRow, step: SandboxStep): number {
    const { limits } = this
    if (isTransfer(step)) return limits.transferDeadlineMs
    if (step === 'resize' && (resizeDiskGib ?? diskGib) > diskGib) return limits.resizeDeadlineMs
    if (step !== 'make') return limits.stepDeadlineMs
    return forkedFromId === null ? limits.launchDeadlineMs : limits.forkDeadlineMs
  }
}

function isTransfer(step: SandboxStep): boolean {
  return step === 'archive' || step === 'restore'
}

/** Returns whether `hint` asks for a step that the row as last seen does not know of. */
function isNews(hint: SandboxChange | undefined, row: SandboxRow | undefined): boolean {
  if (hint === undefined || sandboxSteps[shownState(hint)] === 'none') return false
  return hint.state !== row?.state || hint.desiredState !== row.desiredState
}
