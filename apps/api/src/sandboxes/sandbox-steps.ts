import { createHash, randomBytes } from 'node:crypto'
import type { SandboxReport, SandboxStep } from '@atoll/protocol'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import { createDeadline } from './deadline.ts'
import type { SandboxLeaseStore } from './sandbox-lease-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** Processes of a sandbox, at most. */
export const PIDS_LIMIT = 4096

/** Time that processes have to end after SIGTERM. */
export const STOP_GRACE_MS = 2_000

const TOOLBOX_TOKEN_BYTES = 32

export interface StepContext {
  runner: RunnerClient
  tunnels: ToolboxTunnels
  leases: Pick<SandboxLeaseStore, 'setToolboxToken'>
  leaseOwner: string
  /** How long a toolbox of an earlier attempt has to dial home before it is started anew. */
  adoptWaitMs: number
}

/** Thrown when nothing may be done for a row any more: another replica has it, or it is wanted otherwise. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError'
}

/**
 * Does on the runner what `row` needs next and says what to record. Repeating it after a crash anywhere inside
 * does no harm (R2). `signal` ends it.
 */
export async function takeStep(
  context: StepContext,
  work: { row: SandboxRow; step: Exclude<SandboxStep, 'none'> },
  signal: AbortSignal,
): Promise<SandboxReport> {
  const { runner, tunnels } = context
  const { row, step } = work
  switch (step) {
    case 'make':
      await runner.make(row.id, specOf(row), signal)
      return 'made'
    case 'start':
      await start(context, row, signal)
      return 'ready'
    case 'stop':
      await runner.stop(row.id, { graceMs: STOP_GRACE_MS }, signal)
      tunnels.disconnect(row.id, 'the sandbox was stopped')
      return 'halted'
    case 'remove':
      await runner.remove(row.id, signal)
      tunnels.disconnect(row.id, 'the sandbox was deleted')
      return 'removed'
  }
}

/** SHA-256 of a token, in hexadecimal: what is stored of it. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

async function start(context: StepContext, row: SandboxRow, signal: AbortSignal): Promise<void> {
  if (row.toolboxTokenHash !== null && (await adopt(context, row, { tokenHash: row.toolboxTokenHash, signal }))) return
  const toolboxToken = randomBytes(TOOLBOX_TOKEN_BYTES).toString('base64url')
  const tokenHash = hashToken(toolboxToken)
  if (!(await context.leases.setToolboxToken(row.id, context.leaseOwner, tokenHash))) throw new LeaseLostError()
  context.tunnels.disconnect(row.id, 'the sandbox is started anew')
  const waiting = new AbortController()
  const stopWaiting = () => waiting.abort(signal.reason)
  signal.addEventListener('abort', stopWaiting, { once: true })
  try {
    // Waiting begins first: a toolbox may have dialled home before the runner's answer is here.
    await Promise.all([
      context.tunnels.whenConnected(row.id, tokenHash, waiting.signal),
      context.runner.start(row.id, { toolboxToken, env: row.env }, signal),
    ])
  } finally {
    signal.removeEventListener('abort', stopWaiting)
    waiting.abort()
  }
}

/**
 * An attempt that was cut short may have started the sandbox with the token whose hash is stored. True when it
 * did and its toolbox is here; otherwise the sandbox does not run afterwards.
 */
async function adopt(
  { runner, tunnels, adoptWaitMs }: StepContext,
  row: SandboxRow,
  earlier: { tokenHash: string; signal: AbortSignal },
): Promise<boolean> {
  const status = await runner.status(row.id, earlier.signal)
  if (status.state !== 'running') return false
  using patience = createDeadline(earlier.signal, adoptWaitMs)
  try {
    await tunnels.whenConnected(row.id, earlier.tokenHash, patience.signal)
    return true
  } catch {
    // Its token was replaced before the runner took it, or its toolbox is broken.
    earlier.signal.throwIfAborted()
    await runner.stop(row.id, { graceMs: 0 }, earlier.signal)
    return false
  }
}

function specOf(row: SandboxRow) {
  return {
    snapshot: row.snapshot,
    user: row.osUser,
    limits: { cpu: row.cpu, memoryGiB: row.memoryGib, diskGiB: row.diskGib, pids: PIDS_LIMIT },
    network: row.networkBlockAll ? ('none' as const) : ('nat' as const),
  }
}
