import { createHash, randomBytes } from 'node:crypto'
import type { SandboxReport, SandboxStatus, SandboxStep, StartSandbox } from '@atoll/protocol'
import { createDeadline } from '../reconciliation/deadline.ts'
import { LeaseLostError } from '../reconciliation/lease-loop.ts'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { OnProgress } from './backups/backup-transfer.ts'
import type { SandboxFiles } from './backups/sandbox-files.ts'
import type { SandboxLeaseStore } from './sandbox-lease-store.ts'
import { networkRulesOf, newSpecOf, specOf } from './sandbox-spec.ts'
import type { SandboxRow } from './sandbox-table.ts'
import type { SnapshotBringer } from './snapshot-bringer.ts'

/** The time that processes have to end after SIGTERM, in milliseconds. */
export const STOP_GRACE_MS = 2_000

const TOOLBOX_TOKEN_BYTES = 32

export interface StepContext {
  runner: RunnerClient
  tunnels: ToolboxTunnels
  leases: Pick<SandboxLeaseStore, 'setToolboxToken' | 'mayBeLeft' | 'forgetLeft'>
  files: SandboxFiles
  snapshots: SnapshotBringer
  leaseOwner: string
  /** The token whose hash the row was written with, if no step was tried yet. */
  firstToken: string | undefined
  /** How long the toolbox of an earlier attempt has to dial home before the sandbox is started anew, in milliseconds. */
  adoptWaitMs: number
  /** How long a toolbox has to dial home once the runner has started its sandbox, in milliseconds. */
  toolboxWaitMs: number
  onProgress: OnProgress
}

/**
 * Does on the runner what `row` needs next and says what to record; undefined while its snapshot is on its way there, for
 * which nobody waits here. Repeating it after a crash anywhere inside does no harm (R2). `signal` ends it.
 */
export async function takeStep(
  context: StepContext,
  work: { row: SandboxRow; step: Exclude<SandboxStep, 'none'> },
  signal: AbortSignal,
): Promise<SandboxReport | readonly SandboxReport[] | undefined> {
  const { runner, tunnels } = context
  const { row, step } = work
  switch (step) {
    case 'make':
      await run(context, row, {
        signal,
        call: (start) => runner.launch(row.id, { spec: newSpecOf(row), start }, signal),
      })
      return ['made', 'ready']
    case 'restore':
      if (!(await context.snapshots.isThere(row))) return undefined
      await makeToRestore(context, row, signal)
      await context.files.restore({ runner, row, signal, onProgress: context.onProgress })
      return 'restored'
    case 'start':
      await run(context, row, {
        signal,
        // An earlier change of the rules may have failed.
        call: (start) => runner.start(row.id, { ...start, networkRules: networkRulesOf(row) }, signal),
      })
      return 'ready'
    case 'stop':
      await runner.stop(row.id, { graceMs: row.stopForced ? 0 : STOP_GRACE_MS }, signal)
      tunnels.disconnect(row.id, 'the sandbox was stopped')
      return 'halted'
    case 'resize':
      await resize(runner, row, signal)
      return 'resized'
    case 'archive':
      await archive(context, row, signal)
      return 'saved'
    case 'remove':
      await runner.remove(row.id, signal)
      tunnels.disconnect(row.id, 'the sandbox was deleted')
      return 'removed'
  }
}

async function archive(context: StepContext, row: SandboxRow, signal: AbortSignal): Promise<void> {
  const { files, runner, leaseOwner, onProgress } = context
  if (!(await files.archive({ runner, row, leaseOwner, signal, onProgress }))) throw new LeaseLostError()
}

/** Makes the sandbox to restore into. L7: one that is left there from before, or still runs, is removed first. */
async function makeToRestore({ runner, leases }: StepContext, row: SandboxRow, signal: AbortSignal): Promise<void> {
  if (await leases.mayBeLeft(row)) {
    await runner.remove(row.id, signal)
    await leases.forgetLeft(row)
  }
  const { state } = await runner.make(row.id, specOf(row), signal)
  if (state === 'stopped') return
  await runner.remove(row.id, signal)
  await runner.make(row.id, specOf(row), signal)
}

/** Returns the SHA-256 of a token in hexadecimal, which is stored in place of the token. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

export function createToolboxToken(): string {
  return randomBytes(TOOLBOX_TOKEN_BYTES).toString('base64url')
}

/** The call that makes a sandbox run on its runner. */
interface Run {
  call: (start: StartSandbox) => Promise<unknown>
  signal: AbortSignal
}

/** Makes the sandbox run with a new token, unless it runs with the stored one already, and waits for its toolbox. */
async function run(context: StepContext, row: SandboxRow, { call, signal }: Run): Promise<void> {
  const toolboxToken = context.firstToken ?? (await nextToken(context, row, signal))
  if (toolboxToken === undefined) return
  // The listener below would miss an abort that came while the token was stored.
  signal.throwIfAborted()
  context.tunnels.disconnect(row.id, 'the sandbox is started anew')
  const waiting = new AbortController()
  const stopWaiting = () => waiting.abort(signal.reason)
  signal.addEventListener('abort', stopWaiting, { once: true })
  let patience: NodeJS.Timeout | undefined
  // A fork has minutes for its files, which its toolbox does not need any more.
  const boundWait = () => {
    if (waiting.signal.aborted) return
    const late = new DOMException(`no toolbox within ${context.toolboxWaitMs} ms`, 'TimeoutError')
    patience = setTimeout(() => waiting.abort(late), context.toolboxWaitMs)
  }
  try {
    // The wait begins first: a toolbox may dial home before the runner's reply arrives.
    await Promise.all([
      context.tunnels.whenConnected(row.id, hashToken(toolboxToken), waiting.signal),
      call({ toolboxToken, env: row.env, ...claimOf(row) }).then(boundWait),
    ])
  } finally {
    clearTimeout(patience)
    signal.removeEventListener('abort', stopWaiting)
    waiting.abort()
  }
}

/** Returns a new token after storing its hash; undefined if the sandbox runs with an earlier one. */
async function nextToken(context: StepContext, row: SandboxRow, signal: AbortSignal): Promise<string | undefined> {
  const { toolboxTokenHash: tokenHash } = row
  if (tokenHash !== null && (await adopt(context, row, { tokenHash, signal }))) return undefined
  const token = createToolboxToken()
  const { leases, leaseOwner } = context
  if (!(await leases.setToolboxToken(row.id, leaseOwner, hashToken(token)))) throw new LeaseLostError()
  return token
}

/** W6: the toolbox of a member of a warm pool does nothing before the claim. */
function claimOf({ warmPoolId }: SandboxRow): { awaitsClaim?: boolean } {
  return warmPoolId === null ? {} : { awaitsClaim: true }
}

/**
 * An interrupted attempt may have started the sandbox with the token whose hash is stored. Returns true if it did and the
 * toolbox is connected here; otherwise the sandbox does not run afterwards.
 */
async function adopt(
  { runner, tunnels, adoptWaitMs }: StepContext,
  row: SandboxRow,
  earlier: { tokenHash: string; signal: AbortSignal },
): Promise<boolean> {
  const status = await statusOn(runner, row.id, earlier.signal)
  if (status?.state !== 'running') return false
  using patience = createDeadline(earlier.signal, adoptWaitMs)
  try {
    await tunnels.whenConnected(row.id, earlier.tokenHash, patience.signal)
    // A change of its rules may have failed after that start.
    await runner.setNetwork(row.id, networkRulesOf(row), earlier.signal)
    return true
  } catch {
    // The token was replaced before the runner took it, the toolbox is broken, or the rules cannot be set.
    earlier.signal.throwIfAborted()
    await runner.stop(row.id, { graceMs: 0 }, earlier.signal)
    return false
  }
}

/** Returns a sandbox's status on a runner; undefined if the runner does not have it. */
export async function statusOn(
  runner: RunnerClient,
  id: string,
  signal: AbortSignal,
): Promise<SandboxStatus | undefined> {
  try {
    return await runner.status(id, signal)
  } catch (error) {
    if (error instanceof RunnerCallError && error.status === 404) return undefined
    throw error
  }
}

/** Resizes the sandbox or, if no resource differs, sets the network rules of the row. */
async function resize(runner: RunnerClient, row: SandboxRow, signal: AbortSignal): Promise<void> {
  const { resizeCpu: cpu, resizeMemoryGib: memoryGiB, resizeDiskGib: diskGiB } = row
  const wanted = {
    ...(cpu === null || cpu === row.cpu ? {} : { cpu }),
    ...(memoryGiB === null || memoryGiB === row.memoryGib ? {} : { memoryGiB }),
    ...(diskGiB === null || diskGiB === row.diskGib ? {} : { diskGiB }),
  }
  if (Object.keys(wanted).length > 0) await runner.resize(row.id, wanted, signal)
  else await runner.setNetwork(row.id, networkRulesOf(row), signal)
}
