import type { SandboxStep } from '@atoll/protocol'
import { TunnelError } from '@atoll/tunnel'
import { RunnerCallError } from '../runners/runner-answer.ts'
import { RunnerAwayError, SnapshotFailure } from '../snapshots/snapshot-steps.ts'
import { BackupDamagedError } from './backups/backup-transfer.ts'

/** `away`: the runner's link has ended, which says nothing of the step. `permanent`: another try would end the same way. */
export type Verdict = 'away' | 'permanent' | 'passing'

/** The codes of errors after which there is no link any more. */
const LINK_IS_OVER: ReadonlySet<string> = new Set(['LINK_CLOSED', 'LINK_TIMEOUT', 'PROTOCOL_ERROR', 'VERSION_MISMATCH'])

/** Returns what the failure of a step means. */
export function verdictOn(error: unknown): Verdict {
  if (error instanceof TunnelError) {
    return LINK_IS_OVER.has(error.code) ? 'away' : 'passing'
  }
  if (error instanceof RunnerCallError) return isRefusal(error.status) ? 'permanent' : 'passing'
  return error instanceof BackupDamagedError || error instanceof SnapshotFailure ? 'permanent' : 'passing'
}

/** Failures whose message says to a user what is wrong. */
const IN_WORDS = [BackupDamagedError, SnapshotFailure, RunnerAwayError]

/** The steps of sandboxes that have their files on their runner. */
const ON_FILES: ReadonlySet<SandboxStep> = new Set(['start', 'stop', 'resize', 'archive'])

/** Returns whether a step failed because its runner does not have the sandbox, whose files should be there. */
export function isMissing(error: unknown, step: SandboxStep): boolean {
  return error instanceof RunnerCallError && error.code === 'SANDBOX_NOT_FOUND' && ON_FILES.has(step)
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429
}

const deeds: Readonly<Record<SandboxStep, string>> = {
  make: 'be created',
  restore: 'be restored',
  start: 'be started',
  stop: 'be stopped',
  resize: 'be changed',
  archive: 'be archived',
  remove: 'be deleted',
  none: 'be changed',
}

/** Returns the reason for the user. Only a runner's refusal and a damaged backup are quoted; the rest is for the operator. */
export function reasonOf(error: unknown, step: SandboxStep): string {
  const what = `The sandbox could not ${deeds[step]}`
  if (error instanceof RunnerCallError) {
    return isRefusal(error.status) ? `${what}: ${error.message}` : `${what}: its runner failed`
  }
  if (IN_WORDS.some((kind) => error instanceof kind)) return `${what}: ${(error as Error).message}`
  const isCopy = step === 'archive' || step === 'restore'
  if (isCopy && !(error instanceof TunnelError)) return `${what}: the object store failed`
  // A start waits longest for its toolbox.
  return step === 'start' ? `${what}: its toolbox did not connect in time` : `${what}: its runner did not answer`
}
