import type { RunnerSnapshot, SnapshotSource } from '@atoll/protocol'
import { SNAPSHOT_PULL_LIMIT_MS } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import { createDeadline } from '../reconciliation/deadline.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { Verdict } from '../sandboxes/step-failure.ts'
import { verdictOn } from '../sandboxes/step-failure.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import { failureReason, getSnapshot, RunnerAwayError, SnapshotFailure } from './snapshot-steps.ts'
import type { SnapshotRow } from './snapshot-table.ts'
import type { SnapshotWatch } from './snapshot-watch.ts'

/** How long a failure is kept for those who wait for the snapshot, who ask about every second. In milliseconds. */
const FAILURE_KEPT_MS = 30_000

export interface SnapshotTransfersOptions {
  database: Pick<Database, 'db'>
  holdings: Pick<SnapshotRunnerStore, 'holdersOf' | 'setHeld' | 'isBeingRemoved'>
  runners: { client(runnerId: string): RunnerClient | undefined }
  registries: (organizationId: string) => Promise<{ host: string; username: string; password: string }[]>
  watch: SnapshotWatch
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * What became of bringing a snapshot to a runner. `away`: one that it takes is not connected. `passing`: a call has failed.
 * `permanent`: the runner could not make it, or it took too long.
 */
export type TransferState = { kind: 'coming' } | { kind: Verdict; reason: string }

/**
 * Brings snapshots to runners that lack them, each once however many sandboxes wait. Disposing gives up the transfers
 * under way.
 */
export interface SnapshotTransfers extends AsyncDisposable {
  /** Begins to bring it unless that is under way. A failure of the last half a minute is told once; asking again begins anew. */
  bring(runnerId: string, snapshot: SnapshotRow): TransferState
}

export function createSnapshotTransfers(options: SnapshotTransfersOptions): SnapshotTransfers {
  return new Transfers(options)
}

type Failure = Exclude<TransferState, { kind: 'coming' }> & { at: number }

class Transfers implements SnapshotTransfers {
  private readonly options: SnapshotTransfersOptions
  private readonly states = new Map<string, Failure | { kind: 'coming' }>()
  private readonly running = new Set<Promise<void>>()
  private readonly closing = new AbortController()

  constructor(options: SnapshotTransfersOptions) {
    this.options = options
  }

  bring(runnerId: string, snapshot: SnapshotRow): TransferState {
    const key = `${runnerId} ${snapshot.ref}`
    this.forgetOldFailures()
    const known = this.states.get(key)
    if (known !== undefined) {
      if (known.kind !== 'coming') this.states.delete(key)
      return known
    }
    this.states.set(key, { kind: 'coming' })
    const running = this.run(key, runnerId, snapshot).finally(() => this.running.delete(running))
    this.running.add(running)
    return { kind: 'coming' }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort(new RunnerAwayError('the server is shutting down'))
    await Promise.all(this.running)
  }

  private async run(key: string, runnerId: string, snapshot: SnapshotRow): Promise<void> {
    using deadline = createDeadline(this.closing.signal, SNAPSHOT_PULL_LIMIT_MS)
    try {
      await this.transfer(runnerId, snapshot, deadline.signal)
      this.states.delete(key)
    } catch (error) {
      const reason = error instanceof RunnerAwayError ? error.message : failureReason(error)
      this.states.set(key, { kind: verdictOnTransfer(error, deadline.signal), reason, at: this.options.now() })
      if (!this.closing.signal.aborted) {
        this.options.log.warn({ err: error, ref: snapshot.ref, runnerId }, 'a snapshot was not brought to its runner')
      }
    }
  }

  /** Those who waited may be gone, and others may ask hours later. After the clock was set back, no failure counts as new. */
  private forgetOldFailures(): void {
    const now = this.options.now()
    for (const [key, state] of this.states) {
      if (state.kind !== 'coming' && (state.at > now || now - state.at > FAILURE_KEPT_MS)) this.states.delete(key)
    }
  }

  private async transfer(runnerId: string, row: SnapshotRow, signal: AbortSignal): Promise<void> {
    const { holdings, watch } = this.options
    while (await holdings.isBeingRemoved(row.ref, runnerId)) await watch.wait(runnerId, row.ref, signal)
    const target = this.clientOf(runnerId)
    for (;;) {
      const snapshot =
        (await getSnapshot(target, row.ref, signal)) ?? (await this.ask(target, { row, runnerId }, signal))
      if (snapshot.state === 'active') return await holdings.setHeld(row.ref, runnerId)
      if (snapshot.state === 'error') {
        await target.snapshots.remove(row.ref, signal)
        throw new SnapshotFailure(snapshot.reason ?? 'Its runner could not make it')
      }
      if (snapshot.needsContent) await this.copy(target, { row, runnerId }, signal)
      else await watch.wait(runnerId, row.ref, signal)
    }
  }

  private async ask(
    target: RunnerClient,
    { row, runnerId }: { row: SnapshotRow; runnerId: string },
    signal: AbortSignal,
  ): Promise<RunnerSnapshot> {
    const source: SnapshotSource =
      (await this.holder(row.ref, runnerId)) === undefined ? await this.sameImage(row) : { kind: 'import' }
    const bound = row.maxSizeGib === null ? {} : { maxSizeGiB: row.maxSizeGib }
    return await target.snapshots.make(row.ref, { source, ...bound }, signal)
  }

  /** Returns the image by its digest, because its tag may mean another image by now. */
  private async sameImage({ imageName, digest, organizationId }: SnapshotRow): Promise<SnapshotSource> {
    if (imageName === null) throw new RunnerAwayError('no runner that has it is connected')
    const registries = organizationId === null ? [] : await this.options.registries(organizationId)
    const repository = imageName.replace(/@.*$/, '').replace(/:[^:/]*$/, '')
    return { kind: 'image', reference: digest === null ? imageName : `${repository}@${digest}`, registries }
  }

  private async copy(
    target: RunnerClient,
    { row, runnerId }: { row: SnapshotRow; runnerId: string },
    signal: AbortSignal,
  ): Promise<void> {
    const source = await this.holder(row.ref, runnerId)
    if (source === undefined) {
      if (row.imageName === null) throw new RunnerAwayError('no runner that has it is connected')
      // What was asked for while one had it is asked for anew, as the image.
      return await target.snapshots.remove(row.ref, signal)
    }
    const content = await source.snapshots.export(row.ref, signal)
    try {
      await target.snapshots.sendContent(row.ref, content, signal)
    } finally {
      content.destroy()
    }
  }

  private async holder(ref: string, exceptId: string): Promise<RunnerClient | undefined> {
    const { holdings, runners, database } = this.options
    const ids = await holdings.holdersOf(database.db, ref)
    return ids
      .filter((id) => id !== exceptId)
      .map((id) => runners.client(id))
      .find((client) => client !== undefined)
  }

  private clientOf(runnerId: string): RunnerClient {
    const client = this.options.runners.client(runnerId)
    if (client === undefined) throw new RunnerAwayError('the runner is not connected')
    return client
  }
}

function verdictOnTransfer(error: unknown, signal: AbortSignal): Verdict {
  if (error instanceof RunnerAwayError || signal.reason instanceof RunnerAwayError) return 'away'
  // Another try would take as long again.
  return signal.aborted ? 'permanent' : verdictOn(error)
}
