import type { SandboxEvent, SandboxLifecycle, SandboxPhase } from '@atoll/protocol'
import { phaseOf, sandboxSteps, shownState } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/** How long the timer leaves alone what could not be archived, in milliseconds: it can be started meanwhile. */
export const ARCHIVE_PAUSE_MS = 30 * 60_000

/** What happened to a row. */
export interface RowChange {
  event: SandboxEvent
  next: SandboxLifecycle
  /** Why, for an error. */
  reason: string | undefined
}

/** What a change of state does to the columns of `row`. */
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
    // Where no step is due there is nothing to hold a lease for; and whoever copies files does nothing else.
    ...(sandboxSteps[shown] === 'none' || change.event === 'restored'
      ? { leaseOwner: null, leaseExpiresAt: null }
      : {}),
    // R4: what does not run has no token that could dial home, and is told whose it is when it starts. What is destroyed keeps no secrets either.
    ...(tokenless.has(phaseOf(next)) ? { toolboxTokenHash: null, claimPending: false } : {}),
    ...(shown === 'destroyed' ? { env: {}, authToken: null, signingKey: null } : {}),
    ...(isWithoutRunner(next) ? { runnerId: null } : {}),
    // A stop says so itself, after this.
    ...(change.event === 'stop' ? { stopForced: false } : {}),
    // A snapshot that is made of it on a lost runner is not made of what it is elsewhere.
    ...(row.lost && change.event !== 'reached' ? { snapshottingId: null } : {}),
    ...stoppedSince(row, next),
    ...resources(row, change),
    ...backup(row, change),
  }
}

/** What was in error when its runner was lost has the same reason when that returns. */
function errorReason(row: SandboxRow, { event, next, reason }: RowChange): string | null {
  if (next.lost || event === 'reached') return row.errorReason
  const shown = shownState(next)
  return shown === 'error' || shown === 'build_failed' ? (reason ?? 'unknown') : null
}

/** L6: what is restored elsewhere shuts out its toolbox on the lost runner. */
const tokenless: ReadonlySet<SandboxPhase> = new Set([
  ...(['stopped', 'resizingStopped', 'archived', 'restoring'] as const),
  ...(['failed', 'failedStopped', 'failedArchived', 'destroyed'] as const),
])

/** S11: what has its files in the object store has them there alone. */
function isWithoutRunner(next: SandboxLifecycle): boolean {
  const phase = phaseOf(next)
  return phase === 'archived' || phase === 'failedArchived'
}

/** An error interrupts it: what was recovered begins anew. */
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

/** What was asked for counts from the moment it is so. */
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

/** A backup says nothing any more once the sandbox has run since, and one under way is given up by whatever comes. */
function backup(row: SandboxRow, { event, next }: RowChange): Partial<SandboxRow> {
  if (phaseOf(next) === 'archiving') return { backupState: 'InProgress' }
  if (event === 'unsaved' || (event === 'failed' && row.desiredState === 'archived')) return { backupState: 'Error' }
  if (event === 'halted' || event === 'exited') return { backupState: 'None' }
  if (phaseOf(next) === 'destroyed') return { backupState: 'None', backupId: null }
  return row.backupState === 'Pending' || row.backupState === 'InProgress' ? { backupState: 'None' } : {}
}
