import type { CreateWarmPool, WarmPool } from '@atoll/protocol'
import { AppError, DEFAULT_SANDBOX_USER, DEFAULT_TARGET, MAX_WARM_POOLS } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { Database } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import type { OrganizationBelongings } from '../organizations/organization-upkeep.ts'
import type { Quotas } from '../organizations/quotas.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { SandboxOrigins } from '../sandboxes/sandbox-origins.ts'
import { planSandbox } from '../sandboxes/sandbox-plan.ts'
import type { WarmPool as StoredPool, WarmPoolStore } from './warm-pool-store.ts'

export interface WarmPoolServiceOptions {
  database: Pick<Database, 'transaction'>
  store: WarmPoolStore
  origins: Pick<SandboxOrigins, 'choose'>
  regions: Pick<RegionService, 'resolve'>
  quotas: Pick<Quotas, 'requireActive'>
  /** Called when a pool was changed. */
  onChange: () => void
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The warm pools of an organization. Another organization's pool is unknown (WARM_POOL_NOT_FOUND). */
export interface WarmPoolService {
  list(caller: Principal): Promise<WarmPool[]>
  /**
   * Begins to fill a pool. Throws SNAPSHOT_NOT_FOUND, SNAPSHOT_NOT_ACTIVE, TARGET_NOT_FOUND, WARM_POOL_EXISTS for a second one
   * of the same snapshot and region, QUOTA_EXCEEDED for too many, and ORGANIZATION_SUSPENDED.
   */
  create(caller: Principal, body: CreateWarmPool): Promise<WarmPool>
  /** Changes the size of a pool; surplus members end. */
  resize(caller: Principal, id: string, size: number): Promise<WarmPool>
  /** Deletes a pool and ends its members. */
  delete(caller: Principal, id: string): Promise<void>
}

export function createWarmPoolService(options: WarmPoolServiceOptions): WarmPoolService {
  const { store, now } = options

  async function list(organizationId: string): Promise<WarmPool[]> {
    const [pools, ready] = await Promise.all([store.poolsOf(organizationId), store.readyCounts()])
    return pools.map((pool) => toWarmPool(pool, organizationId, ready.get(pool.pool.id) ?? 0))
  }

  async function get(organizationId: string, id: string): Promise<WarmPool> {
    const found = (await list(organizationId)).find((pool) => pool.id === id)
    if (found === undefined) throw unknown(id)
    return found
  }

  return {
    list: ({ organizationId }) => list(organizationId),
    async create({ organizationId }, { snapshot: asked, pool: size, target }) {
      const snapshot = await options.origins.choose(organizationId, planSandbox({ snapshot: asked }))
      if (snapshot === undefined) throw new AppError('SNAPSHOT_NOT_FOUND', `Snapshot ${asked} not found`)
      const named = target ? await options.regions.resolve(target, organizationId) : undefined
      const row = await options.database.transaction(async (tx) => {
        // The lock keeps concurrent creates from passing the bound.
        const { defaultRegionId } = await options.quotas.requireActive(tx, organizationId)
        if ((await store.poolsOf(organizationId, tx)).length >= MAX_WARM_POOLS) {
          throw new AppError('QUOTA_EXCEEDED', `An organization has at most ${MAX_WARM_POOLS} warm pools`)
        }
        const at = new Date(now())
        const region = named ?? defaultRegionId ?? DEFAULT_TARGET
        const values = { organizationId, snapshotId: snapshot.id, target: region, size, createdAt: at, updatedAt: at }
        return await store.insert(tx, values)
      })
      if (row === undefined) {
        throw new AppError('WARM_POOL_EXISTS', `A warm pool for snapshot ${asked} exists already in that region`)
      }
      options.onChange()
      return toWarmPool({ pool: row, snapshot, organization: null }, organizationId, 0)
    },
    async resize({ organizationId }, id, size) {
      if (!isUuid(id) || !(await store.resize({ id, organizationId }, size, new Date(now())))) throw unknown(id)
      options.onChange()
      return await get(organizationId, id)
    },
    async delete({ organizationId }, id) {
      if (!isUuid(id) || !(await store.remove(id, organizationId))) throw unknown(id)
      options.onChange()
    },
  }
}

/** Deletes all warm pools of an organization. The keeper then ends their members. */
export function createOrganizationWarmPools(options: {
  database: Pick<Database, 'transaction'>
  store: Pick<WarmPoolStore, 'removeAll'>
  onChange: () => void
}): OrganizationBelongings {
  return {
    async destroyAll(organizationId) {
      await options.database.transaction((tx) => options.store.removeAll(tx, organizationId))
      options.onChange()
    },
    async forget(tx, organizationId) {
      await options.store.removeAll(tx, organizationId)
      return true
    },
  }
}

function unknown(id: string): AppError {
  return new AppError('WARM_POOL_NOT_FOUND', `Warm pool with ID ${id} not found`)
}

function toWarmPool({ pool, snapshot }: StoredPool, organizationId: string, currentSize: number): WarmPool {
  return {
    ...{ id: pool.id, organizationId, target: pool.target, pool: pool.size, currentSize },
    snapshot: snapshot?.name ?? pool.snapshotId,
    ...{ cpu: snapshot?.cpu ?? 0, mem: snapshot?.memoryGib ?? 0, disk: snapshot?.diskGib ?? 0 },
    ...{ osUser: DEFAULT_SANDBOX_USER, env: {}, errorReason: pool.errorReason },
    ...{ createdAt: pool.createdAt.toISOString(), updatedAt: pool.updatedAt.toISOString() },
  }
}
