import type { SandboxEvent, SandboxLifecycle, SandboxPhase } from '@atoll/protocol'
import { phaseOf, sandboxSteps, shownState } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** How long the timer pauses after it could not archive a sandbox, in milliseconds: the sandbox can be started meanwhile. */
export const ARCHIVE_PAUSE_MS = 30 * 60_000

/** An event that happened to a row. */
export interface RowChange {
  event: SandboxEvent
  next: SandboxLifecycle
  /** The reason of an error. */
  reason: string | undefined
}

/** Returns the columns of `row` that a change of state sets. */
export function columnsAfter(row: SandboxRow, change: RowChange): Partial<SandboxRow> {
  const { next } = change
  const shown = shownState(next)
  return {
    ...{ state: next.state, desiredState: next.desiredState, recoverableTo: next.recoverableTo },
    lost: next.lost,
    changedAt: new Date(next.changedAt),
    errorReason: errorReason(row, change),
    attempts: 0,
    nextAttemptAt: change.event === 'unsaved' ? new Date(next.changedAt + ARCHIVE_PAUSE_MS) : null,
    // Without a due step there is nothing to hold a lease for. The reconciler that copies files does not start the sandbox.
    ...(sandboxSteps[shown] === 'none' || change.event === 'restored'
      ? { leaseOwner: null, leaseExpiresAt: null }
      : {}),
    // R4: a sandbox that does not run has no token to dial home with, and its next start makes a claimed one known to its
    // toolbox. A destroyed sandbox keeps no other secrets, either.
    ...(tokenless.has(phaseOf(next)) ? { toolboxTokenHash: null, claimPending: false } : {}),
    ...(shown === 'destroyed' ? { env: {}, authToken: null, signingKey: null } : {}),
    ...(isWithoutRunner(next) ? { runnerId: null } : {}),
    // A stop by a user sets its own value after this.
    ...(change.event === 'stop' ? { stopForced: false } : {}),
    // A snapshot that is being made on a lost runner has nothing to do with the sandbox elsewhere.
    ...(row.lost && change.event !== 'reached' ? { snapshottingId: null } : {}),
    ...stoppedSince(row, next),
    ...resources(row, change),
    ...backup(row, change),
  }
}

/** Returns the error reason. A sandbox that was in error when its runner was lost has the same reason when that returns. */
function errorReason(row: SandboxRow, { event, next, reason }: RowChange): string | null {
  if (next.lost || event === 'reached') return row.errorReason
  const shown = shownState(next)
  return shown === 'error' || shown === 'build_failed' ? (reason ?? 'unknown') : null
}

/** The phases without a toolbox token. L6: a restore elsewhere shuts out the toolbox on the lost runner. */
const tokenless: ReadonlySet<SandboxPhase> = new Set([
  ...(['stopped', 'resizingStopped', 'archived', 'restoring'] as const),
  ...(['failed', 'failedStopped', 'failedArchived', 'destroyed'] as const),
])

/** S11: a sandbox that has its files in the object store has them there only. */
function isWithoutRunner(next: SandboxLifecycle): boolean {
  const phase = phaseOf(next)
  return phase === 'archived' || phase === 'failedArchived'
}

/** Returns the time since which the sandbox is stopped. An error clears it, so that a recovered sandbox counts anew. */
function stoppedSince(row: SandboxRow, next: SandboxLifecycle): Partial<SandboxRow> {
  switch (phaseOf(next)) {
    case 'stopped':
    case 'resizingStopped':
    case 'archiving':
    case 'archived':
      return { stoppedAt: row.stoppedAt ?? new Date(next.changedAt) }
    case 'lost':
    case 'lostWithBackup':
    case 'destroying':
    case 'destroyed':
      return {}
    default:
      return { stoppedAt: null }
  }
}

/** The requested resources replace the old ones when the runner reports `resized`. */
function resources(row: SandboxRow, { event, next }: RowChange): Partial<SandboxRow> {
  if (next.desiredState === 'resized' && next.state !== 'error') return {}
  const none = { resizeCpu: null, resizeMemoryGib: null, resizeDiskGib: null }
  if (event !== 'resized') return none
  return {
    ...none,
    cpu: row.resizeCpu ?? row.cpu,
    memoryGib: row.resizeMemoryGib ?? row.memoryGib,
    diskGib: row.resizeDiskGib ?? row.diskGib,
  }
}

/** Returns the backup's columns. A backup is out of date once the sandbox has run since; any change gives up one under way. */
function backup(row: SandboxRow, { event, next }: RowChange): Partial<SandboxRow> {
  if (phaseOf(next) === 'archiving') return { backupState: 'InProgress' }
  if (event === 'unsaved' || (event === 'failed' && row.desiredState === 'archived')) return { backupState: 'Error' }
  if (event === 'halted' || event === 'exited') return { backupState: 'None' }
  if (phaseOf(next) === 'destroyed') return { backupState: 'None', backupId: null }
  return row.backupState === 'Pending' || row.backupState === 'InProgress' ? { backupState: 'None' } : {}
}
