import { randomUUID } from 'node:crypto'
import type { CreateRegion, CreateRegionResponse, Region, UpdateRegion } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { RegionStore } from './region-store.ts'
import type { RegionRow } from './region-table.ts'

/** The most regions that one organization owns. */
export const MAX_REGIONS = 100

/** Handles regions: the shared ones, and those of an organization. Another organization's are unknown. */
export interface RegionService {
  listShared(): Promise<Region[]>
  /** Returns the regions that the organization may use: the shared ones, then its own. */
  list(caller: Principal): Promise<Region[]>
  /** Throws REGION_NOT_FOUND. */
  get(caller: Principal, id: string): Promise<Region>
  /**
   * Throws CONFLICT when the organization may already use a region of that name, and QUOTA_EXCEEDED when it has
   * MAX_REGIONS (simultaneous calls may each still add one).
   */
  create(caller: Principal, body: CreateRegion): Promise<CreateRegionResponse>
  /** Changes one of the organization's own regions. Throws REGION_NOT_FOUND, and FORBIDDEN for a shared one. */
  update(caller: Principal, id: string, changes: UpdateRegion): Promise<void>
  /** Throws the errors of `update`, and CONFLICT while a runner or a sandbox is in the region. */
  delete(caller: Principal, id: string): Promise<void>
  /**
   * Returns the id of the region with this id or name that an organization, or one yet to be made, may use. Throws
   * TARGET_NOT_FOUND.
   */
  resolve(target: string, organizationId: string | undefined): Promise<string>
  /** Returns the region with this id, of any organization. */
  find(id: string): Promise<Region | undefined>
}

export function createRegionService({ store }: { store: RegionStore }): RegionService {
  async function findUsable(id: string, organizationId: string): Promise<RegionRow> {
    const row = (await store.listUsable(organizationId)).find((region) => region.id === id)
    if (row === undefined) throw new AppError('REGION_NOT_FOUND', `Region with ID ${id} not found`)
    return row
  }

  async function findOwn(id: string, organizationId: string): Promise<RegionRow> {
    const row = await findUsable(id, organizationId)
    if (row.organizationId === null) throw new AppError('FORBIDDEN', 'A shared region cannot be changed')
    return row
  }

  return {
    listShared: async () => (await store.listShared()).map(toRegion),
    list: async ({ organizationId }) => (await store.listUsable(organizationId)).map(toRegion),
    get: async ({ organizationId }, id) => toRegion(await findUsable(id, organizationId)),
    async create({ organizationId }, body) {
      const usable = await store.listUsable(organizationId)
      if (usable.filter((region) => region.organizationId !== null).length >= MAX_REGIONS) {
        throw new AppError('QUOTA_EXCEEDED', `There may be at most ${MAX_REGIONS} regions in an organization`)
      }
      const taken = usable.some(({ name }) => name === body.name)
      const id = randomUUID()
      const row = taken ? undefined : await store.insert({ ...addressesOf(body), name: body.name, id, organizationId })
      if (row === undefined) throw new AppError('CONFLICT', `Region with name ${body.name} already exists`)
      // Only Atoll's runners run in a region, and they have their own tokens.
      const none = { proxyApiKey: null, sshGatewayApiKey: null }
      return { id, ...none, snapshotManagerUsername: null, snapshotManagerPassword: null }
    },
    async update({ organizationId }, id, changes) {
      await findOwn(id, organizationId)
      await store.update(id, organizationId, addressesOf(changes))
    },
    async delete({ organizationId }, id) {
      await findOwn(id, organizationId)
      if ((await store.remove(id, organizationId)) === 'in use') {
        throw new AppError('CONFLICT', 'The region has runners or sandboxes')
      }
    },
    async resolve(target, organizationId) {
      const usable = organizationId === undefined ? await store.listShared() : await store.listUsable(organizationId)
      const found = usable.find(({ id }) => id === target) ?? usable.find(({ name }) => name === target)
      if (found !== undefined) return found.id
      const names = usable.map(({ name }) => name).join(', ')
      throw new AppError('TARGET_NOT_FOUND', `Target ${target} not found; there is ${names}`)
    },
    async find(id) {
      const row = await store.find(id)
      return row && toRegion(row)
    },
  }
}

/** Picks these fields only: the body may name any column, such as the region's organization. */
function addressesOf({ proxyUrl, sshGatewayUrl, snapshotManagerUrl, otelEndpoint }: UpdateRegion): UpdateRegion {
  const given = Object.entries({ proxyUrl, sshGatewayUrl, snapshotManagerUrl, otelEndpoint })
  return Object.fromEntries(given.filter(([, address]) => address !== undefined))
}

function toRegion(row: RegionRow): Region {
  const { createdAt, updatedAt, ...facts } = row
  return { ...facts, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() }
}
