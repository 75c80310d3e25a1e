import type { SandboxReport } from '@atoll/protocol'
import { AppError, phaseOf, shownState } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Queryable } from '../../database/database.ts'
import { eachOf } from '../../reconciliation/each-of.ts'
import type { RecurringWork } from '../../recurring-work.ts'
import { createRecurringWork } from '../../recurring-work.ts'
import type { Silence } from '../../runners/runner-silence.ts'
import { lockLost, silenceAt } from '../../runners/runner-silence.ts'
import type { BackupStore } from '../backups/backup-store.ts'
import type { SandboxColumns } from '../sandbox-change-store.ts'
import type { SandboxRoom } from '../sandbox-room.ts'
import type { SandboxStore } from '../sandbox-store.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { noteLeft } from './former-placements.ts'
import type { LostRunner, RunnerLossStore } from './runner-loss-store.ts'

/** How often lost runners are looked for, in milliseconds. */
const PASS_INTERVAL_MS = 5_000

/** The longest gap between two looks of one watch. In a longer one a runner may have been heard of without being noted. */
const MAX_GAP_MS = 4 * PASS_INTERVAL_MS

/** How long a sandbox that is being made on a lost runner waits for another runner, or for its return. In milliseconds. */
export const MOVE_WAIT_MS = 10 * 60_000

/** The most rows that one query returns; a pass goes on until none are left. */
const BATCH_SIZE = 200

/** The most changes at the same time, each of which takes a database connection for some milliseconds. */
const MAX_CONCURRENT = 4

export interface RunnerLossOptions {
  losses: RunnerLossStore
  store: Pick<SandboxStore, 'change'>
  backups: Pick<BackupStore, 'isSaved'>
  room: Pick<SandboxRoom, 'elsewhere'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** The silence after which a runner is lost, in milliseconds. */
  lostAfterMs: number
}

/**
 * Finds runners that are lost or removed, and changes the sandboxes there: docs/spec/sandbox-state.md, L1 to L11. Any number of
 * replicas may do so at once: each row is looked at again under its lock.
 */
export interface RunnerLoss extends AsyncDisposable {
  /** Begins to look for lost runners, each time five seconds after the look before. */
  start(): void
  /** Changes every sandbox for which that is due now. */
  pass(): Promise<void>
}

/** Disposing cuts the pass under way short. */
export function createRunnerLoss(options: RunnerLossOptions): RunnerLoss {
  return new Watch(options)
}

/** Rolls a change back: the runner has been heard of meanwhile. */
class HeardAgainError extends Error {
  override readonly name = 'HeardAgainError'
}

interface Case {
  runner: LostRunner
  silence: Silence
}

class Watch implements RunnerLoss {
  private readonly options: RunnerLossOptions
  private closed = false
  private readonly rhythm: RecurringWork
  /** The first and the last look of a watch without a gap, in milliseconds since the epoch. */
  private watchingSince: number | undefined
  private lastLook = 0

  constructor(options: RunnerLossOptions) {
    this.options = options
    const name = 'looking for lost runners'
    this.rhythm = createRecurringWork({
      ...{ name, everyMs: PASS_INTERVAL_MS, work: () => this.pass(), log: options.log },
    })
  }

  start(): void {
    this.rhythm.start()
  }

  async pass(): Promise<void> {
    const silence = this.silence()
    const lost = await this.options.losses.lost(silence)
    this.looked()
    for (const runner of lost) {
      await this.settle({ runner, silence })
      if (this.closed) return
      await this.moveAway({ runner, silence })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true
    await this.rhythm[Symbol.asyncDispose]()
  }

  /** L1: until this replica has watched for the whole time, only removed runners are lost. */
  private silence(): Silence {
    const { now, lostAfterMs } = this.options
    const at = now()
    const isWatching = this.watchingSince !== undefined && isNext(this.lastLook, at)
    const watchedMs = isWatching ? at - (this.watchingSince ?? at) : 0
    return watchedMs >= lostAfterMs ? silenceAt(at, lostAfterMs) : { heardBefore: new Date(0), seenBefore: new Date(0) }
  }

  /** Notes a look: the database replied, so a runner that was heard of could have been noted there. */
  private looked(): void {
    const at = this.options.now()
    if (this.watchingSince === undefined || !isNext(this.lastLook, at)) this.watchingSince = at
    this.lastLook = at
  }

  /** Records the loss until no row there is left to change; L8: some rows at a time. */
  private async settle(loss: Case): Promise<void> {
    const { losses, log } = this.options
    let changes = 0
    for (let before = -1; !this.closed && changes > before; ) {
      const rows = await losses.due(loss.runner, 'toSettle', BATCH_SIZE)
      before = changes
      await eachOf(rows, MAX_CONCURRENT, async (row) => {
        if (!this.closed && (await this.tell(loss, row, await this.newsFor(loss, row)))) changes += 1
      })
    }
    const { id, name, silentSince } = loss.runner
    if (changes > 0) log.warn({ runnerId: id, runner: name, silentSince, sandboxes: changes }, 'a runner is lost')
  }

  /** Returns the report for a row of a lost runner. */
  private async newsFor({ runner }: Case, row: SandboxRow): Promise<News> {
    // L10: a sandbox whose archive is whole in the object store is archived.
    const isSaved = phaseOf(row) === 'archiving' && (await this.options.backups.isSaved(row))
    const event = (current: SandboxRow): SandboxReport | undefined => {
      const phase = phaseOf(current)
      if (isSaved && current.changedAt.getTime() === row.changedAt.getTime()) return 'saved'
      if (phase === 'destroying') return 'removed'
      if (phase === 'lost' || phase === 'lostWithBackup') return runner.isGone ? 'gone' : undefined
      return current.backupId === null ? 'lost' : 'lostWithBackup'
    }
    return { event, reason: reasonOf(row, runner) }
  }

  /** L4: moves sandboxes that are being made to other runners; one that finds none is given up in the end. */
  private async moveAway(loss: Case): Promise<void> {
    const { losses, log } = this.options
    const rows = await losses.due(loss.runner, 'toMove', BATCH_SIZE)
    await eachOf(rows, MAX_CONCURRENT, async (row) => {
      if (this.closed || (await this.moved(loss, row)) || !this.isOverdue(loss.runner)) return
      const reason = `Its runner was lost while it was ${shownState(row)}, and no other could take it`
      if (await this.tell(loss, row, { event: () => 'failed', reason }))
        log.warn({ sandboxId: row.id, reason }, 'given up')
    })
  }

  private async moved({ runner, silence }: Case, row: SandboxRow): Promise<boolean> {
    const { losses, room, log, now } = this.options
    // A sandbox that waits for a build must be made where that build is.
    if (row.state === 'pending_build' || row.state === 'building_snapshot') return false
    const place = (tx: Queryable, current: SandboxRow) => room.elsewhere(tx, current)
    try {
      const isMoved = await losses.move({ row, silence, at: new Date(now()), place })
      if (isMoved)
        log.warn({ sandboxId: row.id, from: runner.name, state: shownState(row) }, 'taken from a lost runner')
      return isMoved
    } catch (error) {
      if (!(error instanceof AppError)) log.error({ err: error, sandboxId: row.id }, 'not taken from a lost runner')
      return false
    }
  }

  private isOverdue({ isGone, silentSince }: LostRunner): boolean {
    const { now, lostAfterMs } = this.options
    return isGone || now() - silentSince.getTime() > lostAfterMs + MOVE_WAIT_MS
  }

  private async tell({ runner, silence }: Case, row: SandboxRow, { event, reason }: News): Promise<boolean> {
    const { store, log, now } = this.options
    const before = async (tx: Queryable, current: SandboxRow): Promise<SandboxColumns | undefined> => {
      if (!(await lockLost(tx, runner.id, silence))) throw new HeardAgainError()
      // L9: the runner removes the sandbox when it returns.
      if (event(current) === 'removed')
        await noteLeft(tx, { id: row.id, runnerId: runner.id }, { at: new Date(now()), isCleared: false })
      return undefined
    }
    try {
      const actor = { kind: 'reconciler' } as const
      const result = await store.change({ id: row.id, runnerId: runner.id, event, actor, reason, before })
      return result?.outcome.kind === 'changed'
    } catch (error) {
      // A sandbox that cannot be changed must not hold up the others.
      if (!(error instanceof HeardAgainError)) log.error({ err: error, sandboxId: row.id }, 'a loss could not be noted')
      return false
    }
  }
}

/** The report for a row, and its reason. */
interface News {
  event: (row: SandboxRow) => SandboxReport | undefined
  reason: string
}

function reasonOf({ lost, recoverableTo }: SandboxRow, { isGone }: LostRunner): string {
  if (!lost || !isGone) return 'its runner is lost'
  return recoverableTo === null
    ? 'Its runner was lost and removed, and there is no backup of its files'
    : 'its runner was lost and removed'
}

/** Returns whether a look at `at` goes on with the watch of the last; after a clock was set back it does not. */
function isNext(last: number, at: number): boolean {
  return at >= last && at - last <= MAX_GAP_MS
}
