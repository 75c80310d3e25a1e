import { AppError, DEFAULT_SANDBOX_USER, MAX_AUTO_ARCHIVE_MINUTES } from '@atoll/protocol'
import type { Database, Queryable } from '../database/database.ts'
import type { Quotas } from '../organizations/quotas.ts'
import { pickRunner } from '../runners/placement.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { SandboxReconciler } from '../sandboxes/sandbox-reconciler.ts'
import type { SandboxStore } from '../sandboxes/sandbox-store.ts'
import type { NewSandboxRow, SandboxRow } from '../sandboxes/sandbox-table.ts'
import type { SnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import type { SnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import type { WarmRunner } from './warm-pool-store.ts'
import type { WarmPoolRow } from './warm-pool-table.ts'

export interface WarmMemberMakerOptions {
  database: Pick<Database, 'transaction'>
  store: Pick<SandboxStore, 'insert' | 'usage' | 'organizationUsage'>
  snapshots: Pick<SnapshotStore, 'lockUsable'>
  holdings: Pick<SnapshotRunnerStore, 'holdersOf'>
  runners: Pick<RunnerService, 'lockCandidates'>
  quotas: Pick<Quotas, 'checkSandbox'>
  changes: Pick<SandboxChanges, 'emit'>
  reconciler: Pick<SandboxReconciler, 'handOver'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Begins a new member of a pool, on a runner that has the snapshot and room beside everything else; the reconciler does
 * the rest. Throws NO_AVAILABLE_RUNNER, SNAPSHOT_NOT_ACTIVE and the errors of the quotas of the pool's organization.
 */
export type WarmMemberMaker = (pool: WarmPoolRow, runners: readonly WarmRunner[]) => Promise<SandboxRow>

export function createWarmMemberMaker(options: WarmMemberMakerOptions): WarmMemberMaker {
  const { store } = options

  async function checkQuota(tx: Queryable, organizationId: string, size: Size): Promise<void> {
    await options.quotas.checkSandbox(tx, organizationId, {
      ...{ size, adds: { ...size, sandboxes: 1, running: 1 } },
      usage: () => store.organizationUsage(tx, organizationId),
    })
  }

  async function place(tx: Queryable, placing: { target: string; ref: string; need: Size; able: readonly string[] }) {
    const { target, ref, need, able } = placing
    const holders = await options.holdings.holdersOf(tx, ref)
    const all = await options.runners.lockCandidates(tx, { region: target, class: 'small' })
    const candidates = all.filter(({ id }) => able.includes(id) && holders.includes(id))
    const ids = candidates.map(({ id }) => id)
    const usage = await store.usage(tx, ids, 'withWarm')
    const runnerId = pickRunner({ candidates, usage, need, random: Math.random })
    if (runnerId === undefined) throw new AppError('NO_AVAILABLE_RUNNER', 'No available runners')
    return runnerId
  }

  return async (pool, runners) => {
    const able = runners.filter(({ abilities }) => abilities?.claims?.available === true)
    using handover = options.reconciler.handOver()
    const row = await options.database.transaction(async (tx) => {
      const { organizationId, snapshotId, target } = pool
      const snapshot = await options.snapshots.lockUsable(tx, snapshotId)
      if (snapshot?.state !== 'active' || !snapshot.enabled) {
        throw new AppError('SNAPSHOT_NOT_ACTIVE', 'The snapshot is not active')
      }
      const { cpu, memoryGib, diskGib, ref } = snapshot
      const need = { cpu, memoryGib, diskGib }
      if (organizationId !== null) await checkQuota(tx, organizationId, need)
      const runnerId = await place(tx, { target, ref, need, able: able.map(({ id }) => id) })
      const version = runners.find(({ id }) => id === runnerId)?.version ?? null
      const placed = { warmPoolId: pool.id, warmRunnerVersion: version, runnerId, target }
      const at = new Date(options.now())
      const values = { ...memberOf(snapshot, at), ...placed, lease: handover.lease(runnerId) }
      const inserted = await store.insert(tx, values, { kind: 'reconciler' })
      if (inserted === undefined) throw new Error('a row without a name has a name that is taken')
      return inserted
    })
    handover.complete(row)
    options.changes.emit(row)
    return row
  }
}

type Size = Record<'cpu' | 'memoryGib' | 'diskGib', number>

/** Returns the columns of a member. No timer acts on it: only its pool ends it. */
function memberOf(
  snapshot: SnapshotRow,
  at: Date,
): Omit<NewSandboxRow, 'warmPoolId' | 'warmRunnerVersion' | 'runnerId' | 'target'> {
  const { cpu, gpu, memoryGib, diskGib } = snapshot
  return {
    organizationId: null,
    snapshot: snapshot.name ?? snapshot.ref,
    snapshotId: snapshot.id,
    snapshotRef: snapshot.ref,
    entrypoint: snapshot.entrypoint,
    osUser: DEFAULT_SANDBOX_USER,
    ...{ env: {}, labels: {}, public: false, class: 'small' },
    ...{ cpu, gpu, memoryGib, diskGib },
    ...{ networkBlockAll: false, networkAllowList: null },
    ...{ autoStopMinutes: 0, autoArchiveMinutes: MAX_AUTO_ARCHIVE_MINUTES, autoDeleteMinutes: -1 },
    ...{ state: 'creating', desiredState: 'started' },
    ...{ changedAt: at, lastActivityAt: at, createdAt: at, updatedAt: at },
  }
}
