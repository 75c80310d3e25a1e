import { AppError } from '@atoll/protocol'
import type { Queryable } from '../database/database.ts'
import type { OrganizationRow } from '../organizations/organization-table.ts'
import type { Quotas, SandboxDemand } from '../organizations/quotas.ts'
import type { Resources } from '../runners/placement.ts'
import { hasRoom, pickRunner } from '../runners/placement.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import { ownerOf } from './owner-of.ts'
import type { SandboxColumns } from './sandbox-change-store.ts'
import type { Places, SandboxOrigins } from './sandbox-origins.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

export interface SandboxRoomOptions {
  store: Pick<SandboxStore, 'usage' | 'organizationUsage'>
  quotas: Pick<Quotas, 'checkSandbox' | 'checkSandboxOf'>
  runners: Pick<RunnerService, 'lockCandidates' | 'lockOne'>
  /** Returns the places for a sandbox that has no runner. */
  placesOf: SandboxOrigins['placesOf']
}

/**
 * Checks that a sandbox's organization has the quotas and a runner the room for its resources; both stay locked until the
 * transaction ends. All methods throw NO_AVAILABLE_RUNNER and as the quotas do.
 */
export interface SandboxRoom {
  /** Returns the runner for a new sandbox of an organization that the transaction has locked. */
  forNew(tx: Queryable, organization: OrganizationRow, wanted: Wanted): Promise<string>
  /**
   * Checks the start of a sandbox that does not run. Returns a runner for one that has none or is lost, which may be the
   * same runner if that is connected.
   */
  forStart(tx: Queryable, row: SandboxRow): Promise<SandboxColumns | undefined>
  /** Returns a runner in place of a lost one. It checks no quotas, because the sandbox is counted already. */
  elsewhere(tx: Queryable, row: SandboxRow): Promise<string>
  /** Checks the quotas for a sandbox that is recovered without a start. */
  forRecovery(tx: Queryable, row: SandboxRow): Promise<undefined>
  /** Checks a resize of the sandbox to `wanted`. */
  forResize(tx: Queryable, row: SandboxRow, wanted: Resources): Promise<void>
}

/** The region, places and class of a sandbox to place, and its resources. */
export interface Wanted extends Resources {
  target: string
  places: Places
  class: SandboxRow['class']
}

const NOTHING: Resources = { cpu: 0, memoryGib: 0, diskGib: 0 }

export function createSandboxRoom({ store, quotas, runners, placesOf }: SandboxRoomOptions): SandboxRoom {
  const check = (tx: Queryable, organizationId: string, demand: Omit<SandboxDemand, 'usage'>) =>
    quotas.checkSandbox(tx, organizationId, { ...demand, usage: () => store.organizationUsage(tx, organizationId) })

  /** Picks a runner: one that has the snapshot or, if none has room, one that the snapshot can be brought to. */
  async function place(tx: Queryable, wanted: Wanted): Promise<string> {
    const { target, places, class: size, ...need } = wanted
    const { holders, canTravel, only } = places
    // Sent together: the usage is counted after the runners are locked all the same.
    const [all, usage] = await Promise.all([
      runners.lockCandidates(tx, { region: target, class: size }),
      store.usage(tx, { region: target }),
    ])
    const candidates = all.filter(({ id }) => only === undefined || id === only)
    const having = candidates.filter(({ id }) => holders.includes(id))
    const among = (some: typeof candidates) => pickRunner({ candidates: some, usage, need, random: Math.random })
    const runnerId = among(having) ?? (canTravel ? among(candidates) : undefined)
    if (runnerId === undefined) throw noRunner()
    return runnerId
  }

  async function checkRunner(tx: Queryable, id: string, need: Resources): Promise<void> {
    const runner = await runners.lockOne(tx, id)
    if (runner === undefined) throw noRunner()
    const usage = await store.usage(tx, [runner.id])
    if (!hasRoom(runner, usage.get(runner.id), need)) throw noRunner()
  }

  async function elsewhere(tx: Queryable, row: SandboxRow): Promise<string> {
    // A fork's first files are on its parent's runner only.
    if (row.state === 'creating' && row.forkedFromId !== null) throw noRunner()
    return await place(tx, { ...row, places: await placesOf(tx, row) })
  }

  return {
    elsewhere,
    async forNew(tx, organization, wanted) {
      const usage = () => store.organizationUsage(tx, organization.id)
      await quotas.checkSandboxOf(organization, {
        ...{ size: wanted, adds: { ...wanted, sandboxes: 1, running: 1 }, usage },
      })
      return await place(tx, wanted)
    },

    async forStart(tx, row) {
      const { cpu, memoryGib, diskGib, runnerId } = row
      const organizationId = ownerOf(row)
      const isCounted = row.state !== 'error'
      const isOnDisk = isCounted && row.state !== 'archived'
      // A sandbox on a lost runner may still run, so it is counted as running already.
      const runs = isCounted && row.lost && (row.state === 'started' || row.desiredState === 'started')
      const adds = runs ? { cpu: 0, memoryGib: 0, running: 0 } : { cpu, memoryGib, running: 1 }
      await check(tx, organizationId, {
        adds: { ...adds, diskGib: isOnDisk ? 0 : diskGib, sandboxes: isCounted ? 0 : 1 },
      })
      if (runnerId === null || row.lost) return { runnerId: await elsewhere(tx, row) }
      // Its disk is counted already; others may have taken the cpu and memory.
      await checkRunner(tx, runnerId, { cpu, memoryGib, diskGib: 0 })
      return undefined
    },

    async forRecovery(tx, row) {
      const { runnerId, diskGib, state, lost } = row
      const organizationId = ownerOf(row)
      const adds = { diskGib: runnerId === null || lost ? 0 : diskGib, sandboxes: state === 'error' ? 1 : 0 }
      await check(tx, organizationId, {
        adds: { ...NOTHING, ...adds, running: 0 },
      })
      return undefined
    },

    async forResize(tx, row, wanted) {
      const organizationId = ownerOf(row)
      const more =
        row.state === 'started' ? difference(wanted, row) : { ...NOTHING, diskGib: wanted.diskGib - row.diskGib }
      await check(tx, organizationId, {
        size: wanted,
        adds: { ...more, sandboxes: 0, running: 0 },
      })
      if (row.runnerId !== null) await checkRunner(tx, row.runnerId, more)
    },
  }
}

function difference(wanted: Resources, had: Resources): Resources {
  return {
    cpu: wanted.cpu - had.cpu,
    memoryGib: wanted.memoryGib - had.memoryGib,
    diskGib: wanted.diskGib - had.diskGib,
  }
}

function noRunner(): AppError {
  return new AppError('NO_AVAILABLE_RUNNER', 'No available runners')
}
