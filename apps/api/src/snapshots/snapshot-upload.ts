import type { Readable } from 'node:stream'
import type { Snapshot, UploadSnapshot } from '@atoll/protocol'
import { AppError, SNAPSHOT_PULL_LIMIT_MS } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { TunnelError } from '@atoll/tunnel'
import type { Principal } from '../auth/principal.ts'
import { createDeadline } from '../reconciliation/deadline.ts'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import { toSnapshot } from './snapshot-dto.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotService } from './snapshot-service.ts'
import { failureReason } from './snapshot-steps.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import type { SnapshotRow } from './snapshot-table.ts'

export interface SnapshotUploadOptions {
  snapshots: Pick<SnapshotService, 'begin'>
  store: Pick<SnapshotStore, 'change' | 'findById' | 'placeUpload' | 'emit'>
  holdings: Pick<SnapshotRunnerStore, 'makers'>
  runners: { readyIds(): string[]; client(runnerId: string): RunnerClient | undefined }
  log: Logger
}

/**
 * Streams an archive to a runner, and resolves once it has arrived whole; the reconciler does the rest. Throws the
 * errors of `begin` and NO_AVAILABLE_RUNNER; then BAD_REQUEST for an archive that the runner refuses, and
 * RUNNER_UNREACHABLE, which leave the snapshot in error.
 */
export type SnapshotUpload = (
  caller: Principal,
  query: UploadSnapshot,
  upload: { content: Readable; signal: AbortSignal },
) => Promise<Snapshot>

export function createSnapshotUpload(options: SnapshotUploadOptions): SnapshotUpload {
  const { snapshots, store, holdings, runners, log } = options

  /** Returns a runner that can take the archive. Throws NO_AVAILABLE_RUNNER. */
  async function place(region: string): Promise<{ client: RunnerClient; runnerId: string }> {
    const [maker] = await holdings.makers(runners.readyIds(), region)
    const client = maker && runners.client(maker.id)
    if (client === undefined) throw new AppError('NO_AVAILABLE_RUNNER', 'No available runners')
    return { client, runnerId: maker?.id ?? '' }
  }

  async function send(row: SnapshotRow, content: Readable, signal: AbortSignal): Promise<void> {
    const { client, runnerId } = await place(row.region)
    const bound = row.maxSizeGib === null ? {} : { maxSizeGiB: row.maxSizeGib }
    await client.snapshots.make(row.ref, { source: { kind: 'archive' }, ...bound }, signal)
    await store.placeUpload(row.id, runnerId)
    await client.snapshots.sendContent(row.ref, content, signal)
  }

  return async (caller, query, { content, signal }) => {
    const row = await snapshots.begin(caller, query, { kind: 'archive', requireTaker: place })
    using deadline = createDeadline(signal, SNAPSHOT_PULL_LIMIT_MS)
    try {
      await send(row, content, deadline.signal)
    } catch (error) {
      log.info({ err: error, snapshotId: row.id }, 'an upload failed')
      const reason = signal.aborted ? 'The upload was cut short' : failureReason(error)
      await store.change({ id: row.id, event: 'failed', reason })
      throw refused(error)
    }
    const current = (await store.findById(row.id)) ?? row
    // The upload changes no state, so the reconciler is told of the row here.
    store.emit(current)
    return toSnapshot(current)
  }
}

function refused(error: unknown): unknown {
  if (error instanceof RunnerCallError && error.status < 500) {
    return new AppError('BAD_REQUEST', failureReason(error), { cause: error })
  }
  if (error instanceof RunnerCallError || error instanceof TunnelError) {
    return new AppError('RUNNER_UNREACHABLE', 'The runner did not take the archive', { cause: error })
  }
  return error
}
