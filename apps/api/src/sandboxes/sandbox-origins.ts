import type { SandboxVolume } from '@atoll/protocol'
import { AppError, DEFAULT_TARGET } from '@atoll/protocol'
import type { Queryable } from '../database/database.ts'
import type { OrganizationRow } from '../organizations/organization-table.ts'
import type { Resources } from '../runners/placement.ts'
import { SILENCE_LIMIT_MS } from '../runners/runner-session.ts'
import type { SnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import type { SnapshotService } from '../snapshots/snapshot-service.ts'
import type { SnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import type { VolumeService } from '../volumes/volume-service.ts'
import type { Mount } from '../volumes/volume-store.ts'
import type { SandboxPlan } from './sandbox-plan.ts'
import type { NewSandboxRow, SandboxRow } from './sandbox-table.ts'

export interface SandboxOriginsOptions {
  snapshots: Pick<SnapshotService, 'ensureBuild'>
  store: Pick<SnapshotStore, 'find' | 'lockUsable' | 'setUsed' | 'emit'>
  holdings: Pick<SnapshotRunnerStore, 'holdersOf' | 'canBeBrought'>
  volumes: Pick<VolumeService, 'planMounts' | 'attach' | 'runnerOf'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The runners on which a sandbox may be, by their ids. */
export interface Places {
  /** The runners that have its snapshot. */
  holders: readonly string[]
  /** Whether other runners may be picked, to which the snapshot is brought first. */
  canTravel: boolean
  /** The runner that has its volumes, if it has any. */
  only: string | undefined
}

/** The snapshot or build of a new sandbox, and what follows from that. */
export interface SandboxOrigin {
  /** Its region: the organization's default if none is asked for. */
  target: string
  size: Resources
  places: Places
  /** Returns the state in which it begins on that runner. */
  stateOn(runnerId: string): NewSandboxRow['state']
  columns: Pick<
    NewSandboxRow,
    'snapshot' | 'snapshotId' | 'snapshotRef' | 'buildInfo' | 'entrypoint' | 'volumes' | 'cpu' | 'memoryGib' | 'diskGib'
  >
  /** Attaches the volumes to the new sandbox and notes the use of the snapshot. */
  attach(tx: Queryable, sandboxId: string): Promise<void>
  /** Tells of a snapshot that is to be made, after the commit. */
  announce(): void
}

/** Finds the origins of sandboxes. */
export interface SandboxOrigins {
  /**
   * Returns a plan's snapshot, before anything is locked; undefined if the plan brings a build of its own. Throws
   * SNAPSHOT_NOT_FOUND and SNAPSHOT_NOT_ACTIVE.
   */
  choose(organizationId: string, plan: SandboxPlan): Promise<SnapshotRow | undefined>
  /** Settles the rest in the transaction that makes the sandbox. Throws the same, and BAD_REQUEST for unusable volumes. */
  settle(tx: Queryable, plan: SandboxPlan, chosen: Chosen): Promise<SandboxOrigin>
  /** Returns the places for a sandbox that has no runner. */
  placesOf(tx: Queryable, row: SandboxRow): Promise<Places>
}

export interface Chosen {
  /** The organization's row, locked. */
  organization: OrganizationRow
  snapshot: SnapshotRow | undefined
}

export function createSandboxOrigins(options: SandboxOriginsOptions): SandboxOrigins {
  const { snapshots, store, holdings, volumes } = options

  async function snapshotFor(
    tx: Queryable,
    plan: SandboxPlan & { target: string },
    chosen: Chosen,
  ): Promise<SnapshotRow> {
    const { organization, snapshot } = chosen
    if (snapshot !== undefined) {
      // The snapshot may have been deleted since `choose`.
      const usable = await store.lockUsable(tx, snapshot.id)
      if (usable === undefined) throw notFound(plan.snapshot)
      return requireActive(usable, plan.snapshot)
    }
    const info = plan.asked.buildInfo
    if (info === undefined) throw notFound(plan.snapshot)
    return await snapshots.ensureBuild(tx, { organizationId: organization.id, info, region: plan.target })
  }

  /** Whether what is on no runner, or not to stay on its own, may go where its snapshot is brought to. */
  async function canFollow(tx: Queryable, row: SandboxRow): Promise<boolean> {
    if (row.state === 'pulling_snapshot') return true
    // The step that makes it takes its snapshot for given.
    if (row.state === 'creating' || row.snapshotId === null) return false
    const seenAfter = new Date(options.now() - SILENCE_LIMIT_MS)
    return await holdings.canBeBrought(tx, { snapshotId: row.snapshotId, seenAfter })
  }

  return {
    async choose(organizationId, plan) {
      if (plan.asked.buildInfo !== undefined) return undefined
      const row = await store.find(organizationId, plan.snapshot)
      if (row === undefined) throw notFound(plan.snapshot)
      return requireActive(row, plan.snapshot)
    },

    async settle(tx, plan, chosen) {
      const { id: organizationId, defaultRegionId } = chosen.organization
      const target = plan.target ?? defaultRegionId ?? DEFAULT_TARGET
      const ref = chosen.snapshot?.ref
      // Sent together: one round trip to the database.
      const [snapshot, known] = await Promise.all([
        snapshotFor(tx, { ...plan, target }, chosen),
        ref === undefined ? undefined : holdings.holdersOf(tx, ref),
      ])
      const { mounts, runnerId } = await volumes.planMounts(tx, organizationId, plan.asked.volumes)
      const held = known !== undefined && ref === snapshot.ref ? known : await holdings.holdersOf(tx, snapshot.ref)
      const isUnderWay = snapshot.state !== 'active'
      const holders = isUnderWay && snapshot.runnerId !== null ? [...held, snapshot.runnerId] : held
      const size = sizeOf(plan, snapshot)
      return {
        target,
        size,
        places: { holders, canTravel: snapshot.kind !== 'builtin', only: runnerId },
        stateOn: (id) => firstState(snapshot, held.includes(id)),
        columns: { ...size, ...columnsOf(snapshot, { plan, mounts }) },
        async attach(tx2, sandboxId) {
          await volumes.attach(tx2, sandboxId, mounts)
          await store.setUsed(tx2, snapshot)
        },
        announce() {
          if (isUnderWay) store.emit(snapshot)
        },
      }
    },

    async placesOf(tx, row) {
      const holders = await holdings.holdersOf(tx, row.snapshotRef ?? row.snapshot)
      const only = await volumes.runnerOf(
        tx,
        row.volumes.map(({ volumeId }) => volumeId),
      )
      return { holders, canTravel: await canFollow(tx, row), only }
    },
  }
}

function requireActive(row: SnapshotRow, asked: string): SnapshotRow {
  if (row.state !== 'active') throw new AppError('SNAPSHOT_NOT_ACTIVE', `Snapshot ${asked} is ${row.state}`)
  if (!row.enabled) throw new AppError('SNAPSHOT_NOT_ACTIVE', `Snapshot ${asked} is disabled`)
  return row
}

function notFound(asked: string): AppError {
  return new AppError('SNAPSHOT_NOT_FOUND', `Snapshot ${asked} not found`)
}

/** Returns the size that is asked for; an amount that is not asked for is the snapshot's. */
export function sizeOf({ asked }: SandboxPlan, snapshot: SnapshotRow): Resources {
  return {
    cpu: asked.size.cpu || snapshot.cpu,
    memoryGib: asked.size.memoryGib || snapshot.memoryGib,
    diskGib: asked.size.diskGib || snapshot.diskGib,
  }
}

function columnsOf(snapshot: SnapshotRow, { plan, mounts }: { plan: SandboxPlan; mounts: readonly Mount[] }) {
  const isOwnBuild = plan.asked.buildInfo !== undefined
  return {
    snapshot: isOwnBuild ? (snapshot.buildInfo?.snapshotRef ?? snapshot.ref) : (snapshot.name ?? plan.snapshot),
    snapshotId: snapshot.id,
    snapshotRef: snapshot.ref,
    buildInfo: isOwnBuild ? snapshot.buildInfo : null,
    entrypoint: snapshot.entrypoint,
    volumes: mounts.map(
      ({ volumeId, mountPath, subpath }): SandboxVolume => ({
        ...{ volumeId, mountPath },
        ...(subpath === undefined ? {} : { subpath }),
      }),
    ),
  }
}

function firstState({ state }: SnapshotRow, isHere: boolean): NewSandboxRow['state'] {
  if (state === 'build_pending') return 'pending_build'
  if (state !== 'active') return 'building_snapshot'
  return isHere ? 'creating' : 'pulling_snapshot'
}
