import type { Logger } from '@atoll/service'
import { createDeadline } from '../../reconciliation/deadline.ts'
import type {
  LeaseJob,
  LeaseLoopLimits,
  LeaseRequest,
  LeaseWork,
  RetryLimits,
} from '../../reconciliation/lease-loop.ts'
import { LeaseLoop, LeaseLostError, retryDelayMs } from '../../reconciliation/lease-loop.ts'
import type { RunnerClient } from '../../runners/runner-client.ts'
import type { SandboxChanges } from '../sandbox-changes.ts'
import { verdictOn } from '../step-failure.ts'
import type { BackupObjects } from './backup-objects.ts'
import { backupKey } from './backup-objects.ts'
import type { BackupJob, BackupStore, DiscardedBackup } from './backup-store.ts'
import { TRANSFER_DEADLINE_MS } from './sandbox-files.ts'
import { saveFiles } from './save-files.ts'
import type { UploadStore } from './upload-store.ts'

/** Bounds of keeping backups; times in milliseconds. */
export interface BackupKeeperLimits extends LeaseLoopLimits, RetryLimits {
  /** Tries of a backup, counted from the last one with progress, before it is given up. */
  maxAttempts: number
  /** The most objects that are deleted in one go. */
  maxDeletions: number
  /** Failed deletions in one go before the others are left for the next: each may keep new backups waiting. */
  maxFailedDeletions: number
  /** How long a runner has to discard an archive. */
  discardDeadlineMs: number
}

export const backupKeeperLimits: Readonly<BackupKeeperLimits> = Object.freeze({
  maxJobs: 2,
  leaseMs: 30_000,
  pollMs: 5_000,
  // Together with the delays below, five minutes.
  maxAttempts: 15,
  retryMinMs: 1_000,
  retryMaxMs: 30_000,
  maxDeletions: 100,
  maxFailedDeletions: 3,
  discardDeadlineMs: 5_000,
})

export interface BackupKeeperOptions {
  store: BackupStore
  uploads: UploadStore
  objects: BackupObjects
  runners: {
    /** Runners that this replica can call now. */
    readyIds(): string[]
    client(runnerId: string): RunnerClient | undefined
  }
  changes: SandboxChanges
  log: Logger
  limits?: Partial<BackupKeeperLimits>
}

/** Makes the backups that are wanted, and deletes the objects of discarded ones. */
export interface BackupKeeper extends AsyncDisposable {
  start(): void
  /** Looks for work now. */
  wake(): void
}

/** Works from `start` until disposed, which aborts the backups that are being made and gives their leases back. */
export function createBackupKeeper(options: BackupKeeperOptions): BackupKeeper {
  return new Keeper(options)
}

/** A backup that is being made. */
interface Making extends LeaseJob {
  sandboxId: string
  /** Whether it has moved a part of the files, and has others to move. */
  isMoving: boolean
}

class Keeper implements BackupKeeper, LeaseWork<BackupJob, Making> {
  readonly what = 'backups'
  readonly leases: BackupStore
  private readonly options: BackupKeeperOptions
  private readonly limits: BackupKeeperLimits
  private readonly loop: LeaseLoop<BackupJob, Making>
  private readonly closing = new AbortController()
  private unsubscribe: () => void = () => undefined

  constructor(options: BackupKeeperOptions) {
    this.options = options
    this.leases = options.store
    this.limits = { ...backupKeeperLimits, ...options.limits }
    this.loop = new LeaseLoop({ work: this, limits: this.limits, log: options.log })
  }

  start(): void {
    // Another change that is wanted of a sandbox does not wait for its backup.
    this.unsubscribe = this.options.changes.subscribe((change) => {
      if (change === 'all' || change.state === change.desiredState) return
      const making = this.loop.jobs().find(({ sandboxId }) => sandboxId === change.id)
      making?.controller.abort(new LeaseLostError())
    })
    this.loop.start()
  }

  wake(): void {
    this.loop.wake()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.unsubscribe()
    this.closing.abort()
    await this.loop[Symbol.asyncDispose]()
  }

  async lease(request: LeaseRequest): Promise<BackupJob[]> {
    const runnerIds = this.options.runners.readyIds()
    return runnerIds.length === 0 ? [] : await this.options.store.lease({ ...request, runnerIds })
  }

  begin({ sandbox }: BackupJob): Making {
    return { controller: new AbortController(), sandboxId: sandbox.id, isMoving: false }
  }

  async drive(job: BackupJob, making: Making): Promise<void> {
    const { controller } = making
    const { store, uploads, log, runners, objects } = this.options
    const { id, sandbox } = job
    try {
      using deadline = createDeadline(controller.signal, TRANSFER_DEADLINE_MS)
      const runner = sandbox.runnerId === null ? undefined : runners.client(sandbox.runnerId)
      if (runner === undefined || this.loop.closed) return await store.release(id, this.loop.owner)
      const backup = { id, sandboxId: sandbox.id, owner: this.loop.owner }
      const onProgress = (isMoving: boolean) => {
        making.isMoving = isMoving
      }
      const sum = await saveFiles({ runner, objects, uploads, signal: deadline.signal, onProgress }, backup)
      if (await store.keep(id, this.loop.owner, sum))
        log.info({ sandboxId: sandbox.id, ...sum }, 'a sandbox was backed up')
      await this.discardStaged({ ...backup, runnerId: sandbox.runnerId })
    } catch (error) {
      await this.afterFailure(job, making, error)
    }
  }

  /** The backup that the new one replaced is to be deleted. */
  isMore(): boolean {
    return true
  }

  async tidy(): Promise<void> {
    const { store, log } = this.options
    const silent = new Set<string>()
    let failures = 0
    for (const backup of await store.discarded(this.limits.maxDeletions)) {
      if (this.loop.closed || failures >= this.limits.maxFailedDeletions) return
      try {
        await this.forget(backup, silent)
      } catch (error) {
        failures += 1
        const { id, sandboxId, attempts } = backup
        log.warn({ err: error, sandboxId, attempt: attempts + 1 }, 'a backup could not be deleted')
        await store.postpone(id, { attempts: attempts + 1, delayMs: retryDelayMs(attempts, this.limits) })
      }
    }
  }

  /** Deletes a backup's object and row. `silent`: runners that did not reply lately, which are not asked again. */
  private async forget(backup: DiscardedBackup, silent: Set<string>): Promise<void> {
    const { store, objects } = this.options
    await objects.remove(backupKey(backup))
    const { runnerId } = backup
    const isAsked = runnerId !== null && !silent.has(runnerId)
    if (isAsked && !(await this.discardStaged(backup))) silent.add(runnerId)
    await store.forget(backup.id)
  }

  private async afterFailure({ id, sandbox, ...job }: BackupJob, making: Making, error: unknown): Promise<void> {
    const { store, log } = this.options
    const verdict = verdictOn(error)
    if (making.controller.signal.aborted || verdict === 'away') return await store.release(id, this.loop.owner)
    // A try that moved some of the files begins the count anew.
    const earlier = making.isMoving ? 0 : job.attempts
    const attempts = earlier + 1
    log.warn({ err: error, sandboxId: sandbox.id, attempt: attempts }, 'a backup failed')
    const last = verdict === 'permanent' || attempts >= this.limits.maxAttempts
    await store.fail(id, this.loop.owner, { attempts, delayMs: retryDelayMs(earlier, this.limits), last })
  }

  /** Discards an archive on its runner. Returns false if that failed: then the runner deletes it by itself after a day. */
  private async discardStaged({ id, sandboxId, runnerId }: Omit<DiscardedBackup, 'attempts'>): Promise<boolean> {
    const { runners, log } = this.options
    const runner = runnerId === null ? undefined : runners.client(runnerId)
    const archive = { sandboxId, archiveId: id }
    using deadline = createDeadline(this.closing.signal, this.limits.discardDeadlineMs)
    try {
      await runner?.archives.discard(archive, deadline.signal)
      return true
    } catch (error) {
      log.debug({ err: error, ...archive }, 'a runner keeps an archive for now')
      return false
    }
  }
}
