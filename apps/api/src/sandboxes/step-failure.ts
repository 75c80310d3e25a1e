import type { SandboxStep } from '@atoll/protocol'
import { TunnelError } from '@atoll/tunnel'
import { RunnerCallError } from '../runners/runner-answer.ts'
import { BackupDamagedError } from './backups/backup-transfer.ts'

/** `away`: the runner has gone, which says nothing of the step. `permanent`: trying again would end the same. */
export type Verdict = 'away' | 'permanent' | 'passing'

/** Errors after which there is no link any more. */
const LINK_IS_OVER: ReadonlySet<string> = new Set(['LINK_CLOSED', 'LINK_TIMEOUT', 'PROTOCOL_ERROR', 'VERSION_MISMATCH'])

/** What the failure of a step means. */
export function verdictOn(error: unknown): Verdict {
  if (error instanceof TunnelError) {
    return LINK_IS_OVER.has(error.code) ? 'away' : 'passing'
  }
  if (error instanceof RunnerCallError) return isRefusal(error.status) ? 'permanent' : 'passing'
  return error instanceof BackupDamagedError ? 'permanent' : 'passing'
}

/** Steps for what has its files on its runner. */
const ON_FILES: ReadonlySet<SandboxStep> = new Set(['start', 'stop', 'resize', 'archive'])

/** Whether a step failed because its runner does not have the sandbox, whose files should be there. */
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

/** What the sandbox's user is told. Only a runner's refusal is quoted: other failures are the operator's affair. */
export function reasonOf(error: unknown, step: SandboxStep): string {
  const what = `The sandbox could not ${deeds[step]}`
  if (error instanceof RunnerCallError) {
    return isRefusal(error.status) ? `${what}: ${error.message}` : `${what}: its runner failed`
  }
  if (error instanceof BackupDamagedError) return `${what}: ${error.message}`
  const isCopy = step === 'archive' || step === 'restore'
  if (isCopy && !(error instanceof TunnelError)) return `${what}: the object store failed`
  // What a start waits for longest is its toolbox.
  return step === 'start' ? `${what}: its toolbox did not connect in time` : `${what}: its runner did not answer`
}
