import { AppError, DEFAULT_SANDBOX_USER, DEFAULT_TARGET, UNCLAIMABLE_VARIABLES } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { Queryable } from '../database/database.ts'
import type { OrganizationRow } from '../organizations/organization-table.ts'
import type { Quotas } from '../organizations/quotas.ts'
import type { PlacementCandidate, Resources } from '../runners/placement.ts'
import { pickRunner } from '../runners/placement.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import { sizeOf } from '../sandboxes/sandbox-origins.ts'
import type { SandboxPlan } from '../sandboxes/sandbox-plan.ts'
import type { SandboxStore } from '../sandboxes/sandbox-store.ts'
import type { SandboxRow } from '../sandboxes/sandbox-table.ts'
import { destroyAt } from '../sandboxes/settings/sandbox-settings.ts'
import type { SnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { LockedMember, WantedMember, WarmClaimStore } from './warm-claim-store.ts'
import type { WarmPoolDemand } from './warm-pool-demand.ts'

/** The most members that one create tries. A try fails when the member's toolbox is gone or its runner is full. */
const MAX_TRIES = 4

export interface WarmClaimsOptions {
  store: WarmClaimStore
  sandboxStore: Pick<SandboxStore, 'organizationUsage' | 'usage'>
  quotas: Pick<Quotas, 'checkSandboxOf'>
  runners: Pick<RunnerService, 'readyIds' | 'lockCandidates'>
  tunnels: Pick<ToolboxTunnels, 'get'>
  demand: Pick<WarmPoolDemand, 'record'>
  snapshots: Pick<SnapshotStore, 'setUsed'>
  /** Milliseconds since the epoch. */
  now: () => number
}

/** A create that may be served by a member. */
export interface ClaimRequest {
  caller: Principal
  /** The create's plan, with its target resolved to a region. */
  plan: SandboxPlan
  /** Undefined when the plan brings its own build. */
  snapshot: SnapshotRow | undefined
  /** The caller's organization; resolves once its row is locked. */
  organization: Promise<OrganizationRow>
}

export interface WarmClaims {
  /**
   * Gives a started member of a warm pool to the caller, in the transaction of the create; undefined when none fits.
   * Its toolbox is told afterwards. Throws the errors of the quotas, and SANDBOX_NAME_TAKEN.
   */
  claim(tx: Queryable, request: ClaimRequest): Promise<SandboxRow | undefined>
}

export function createWarmClaims(options: WarmClaimsOptions): WarmClaims {
  const { store, sandboxStore, quotas, now } = options

  /**
   * Locks a member whose toolbox is connected here and whose runner, if it has a capacity, has room for one more
   * sandbox.
   */
  async function lockLive(tx: Queryable, wanted: Omit<WantedMember, 'except' | 'runnerIds'>) {
    let runnerIds = options.runners.readyIds()
    const isFull = lookForRoom(tx, wanted)
    const except: string[] = []
    for (let tries = 0; tries < MAX_TRIES && runnerIds.length > 0; tries += 1) {
      const member = await store.lockMember(tx, { ...wanted, runnerIds, except })
      if (member === undefined) return undefined
      if (member.isCounted && (await isFull(member.runnerId))) {
        runnerIds = runnerIds.filter((id) => id !== member.runnerId)
      } else if (options.tunnels.get(member.id)?.closed === false) return member
      else except.push(member.id)
    }
    return undefined
  }

  /** Returns a function that tells whether a runner of the region has no room (W7). */
  function lookForRoom(tx: Queryable, { target, ...need }: Resources & { target: string }) {
    let seen: Promise<[PlacementCandidate[], Awaited<ReturnType<SandboxStore['usage']>>]> | undefined
    return async (runnerId: string): Promise<boolean> => {
      // All runners of the region are locked at once, in the order in which a placement locks them.
      seen ??= Promise.all([
        options.runners.lockCandidates(tx, { region: target, class: 'small' }),
        sandboxStore.usage(tx, { region: target }),
      ])
      const [all, usage] = await seen
      const candidates = all.filter(({ id }) => id === runnerId)
      return pickRunner({ candidates, usage, need, random: () => 0 }) === undefined
    }
  }

  async function take(tx: Queryable, { plan, caller }: ClaimRequest, member: LockedMember): Promise<SandboxRow> {
    const { organizationId, userId } = caller
    const { env, labels, autoStopMinutes, autoArchiveMinutes, autoDeleteMinutes } = plan
    if (plan.name != null && (await store.isNameTaken(tx, organizationId, plan.name))) throw nameTaken(plan.name)
    const at = new Date(now())
    const columns = {
      ...{ organizationId, name: plan.name ?? null, env, labels, public: plan.public },
      ...{ autoStopMinutes, autoArchiveMinutes, autoDeleteMinutes },
      autoDestroyAt: destroyAt(at.getTime(), plan.ttlMinutes),
    }
    return await store.write(tx, member.id, { columns, userId, at })
  }

  return {
    async claim(tx, request) {
      const { plan, caller, snapshot } = request
      if (snapshot === undefined || !isClaimable(plan)) return undefined
      const { organizationId } = caller
      // When the region is known, the next statement is sent together with the lock.
      const target = plan.target ?? (await request.organization).defaultRegionId ?? DEFAULT_TARGET
      const { id: snapshotId, ref: snapshotRef } = snapshot
      const size = sizeOf(plan, snapshot)
      const wanted = { organizationId, snapshotId, snapshotRef, target, ...size }
      const [organization, member] = await Promise.all([request.organization, lockLive(tx, wanted)])
      const isOwn = member !== undefined && member.poolOrganizationId !== null
      if (!isOwn) options.demand.record({ snapshotId, target }, member === undefined ? 'misses' : 'claims')
      if (member === undefined) return undefined
      // W4: a member of the organization's own pool already counts for its quotas.
      const adds = isOwn ? NOTHING : { ...size, sandboxes: 1, running: 1 }
      const usage = () => sandboxStore.organizationUsage(tx, organizationId)
      await quotas.checkSandboxOf(organization, { size, adds, usage })
      // Sent together: one round trip to the database.
      const [row] = await Promise.all([take(tx, request, member), options.snapshots.setUsed(tx, snapshot)])
      return row
    },
  }
}

const NOTHING = { cpu: 0, memoryGib: 0, diskGib: 0, sandboxes: 0, running: 0 }

/** W3: whether a member can become the requested sandbox. For any other request, a new sandbox is made. */
function isClaimable(plan: SandboxPlan): boolean {
  return (
    plan.asked.volumes.length === 0 &&
    plan.osUser === DEFAULT_SANDBOX_USER &&
    plan.class === 'small' &&
    !plan.networkBlockAll &&
    (plan.networkAllowList ?? null) === null &&
    !UNCLAIMABLE_VARIABLES.some((name) => Object.hasOwn(plan.env, name))
  )
}

function nameTaken(name: string): AppError {
  return new AppError('SANDBOX_NAME_TAKEN', `Sandbox with name ${name} already exists`)
}
