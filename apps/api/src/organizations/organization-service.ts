import type { CreateOrganization, Organization, SuspendOrganization, UpdateQuota, UsageOverview } from '@atoll/protocol'
import { AppError, MAX_OWN_ORGANIZATIONS } from '@atoll/protocol'
import { organizationNotFound } from '../auth/authorizer.ts'
import type { Caller } from '../auth/principal.ts'
import { isPrincipal } from '../auth/principal.ts'
import type { Database, Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { parseTime } from '../http/time-field.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { OrganizationSandboxes } from '../sandboxes/organization-sandboxes.ts'
import { createUserStore } from '../users/user-store.ts'
import { toOrganization } from './organization-dto.ts'
import { lockOrganization, requireAccount } from './organization-guards.ts'
import type { OrganizationChanges } from './organization-store.ts'
import { createOrganizationStore } from './organization-store.ts'
import type { OrganizationRow } from './organization-table.ts'
import type { StoredUsage } from './organization-usage.ts'
import { toUsageOverview } from './organization-usage.ts'
import { toQuotaChanges } from './quota-update.ts'

export interface OrganizationServiceOptions {
  database: Pick<Database, 'db' | 'transaction'>
  sandboxes: Pick<OrganizationSandboxes, 'usage'>
  storedUsage: (organizationId: string) => Promise<StoredUsage>
  /** Finds the regions that exist. */
  regions: Pick<RegionService, 'resolve'>
  /** Whether an email address counts only when it is verified. */
  requireVerifiedEmail: boolean
  /** Called when an organization is marked as deleted, so that its belongings are removed. */
  onDeleted: () => void
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Handles organizations themselves. Calls that take an id throw ORGANIZATION_NOT_FOUND. */
export interface OrganizationService {
  /**
   * Creates an organization owned by the caller. Throws FORBIDDEN to a key without every permission, for an unverified
   * email address and above the most organizations of one user; TARGET_NOT_FOUND.
   */
  create(caller: Caller, body: CreateOrganization): Promise<Organization>
  /** Returns the caller's organizations; a key shows only its own, unless it is an administrator's. */
  list(caller: Caller): Promise<Organization[]>
  get(id: string): Promise<Organization>
  /** Hides the organization at once; its belongings are removed afterwards. Throws ORGANIZATION_IS_PERSONAL. */
  delete(id: string): Promise<void>
  usage(id: string): Promise<UsageOverview>
  setQuota(id: string, body: UpdateQuota): Promise<Organization>
  /** Throws TARGET_NOT_FOUND. */
  setDefaultRegion(id: string, regionId: string): Promise<void>
  suspend(id: string, body: SuspendOrganization): Promise<void>
  unsuspend(id: string): Promise<void>
}

export function createOrganizationService(options: OrganizationServiceOptions): OrganizationService {
  return new Organizations(options)
}

class Organizations implements OrganizationService {
  private readonly options: OrganizationServiceOptions

  constructor(options: OrganizationServiceOptions) {
    this.options = options
  }

  async create(caller: Caller, { name, defaultRegionId }: CreateOrganization): Promise<Organization> {
    requireAccount(caller)
    const regionId = await this.resolveRegion(defaultRegionId, undefined)
    const { userId } = caller
    const row = await this.options.database.transaction(async (tx) => {
      const organizations = createOrganizationStore(tx)
      await this.requireVerified(tx, userId)
      if ((await organizations.countMadeBy(userId)) >= MAX_OWN_ORGANIZATIONS) {
        throw new AppError('FORBIDDEN', `You have made ${MAX_OWN_ORGANIZATIONS} organizations, the most there may be`)
      }
      return await organizations.insert({ name, createdBy: userId, defaultRegionId: regionId })
    })
    return this.show(row)
  }

  async list(caller: Caller): Promise<Organization[]> {
    const onlyId = isPrincipal(caller) && caller.systemRole !== 'admin' ? caller.organizationId : undefined
    const rows = await createOrganizationStore(this.options.database.db).listOf(caller.userId, onlyId)
    return rows.map((row) => this.show(row))
  }

  async get(id: string): Promise<Organization> {
    return this.show(await this.find(id))
  }

  async delete(id: string): Promise<void> {
    await this.options.database.transaction(async (tx) => {
      const { personal } = await lockOrganization(tx, id)
      if (personal) throw new AppError('ORGANIZATION_IS_PERSONAL', 'A personal organization cannot be deleted')
      const organizations = createOrganizationStore(tx)
      await organizations.update(id, { deletedAt: new Date(this.options.now()) })
      await organizations.removeMembers(id)
    })
    this.options.onDeleted()
  }

  async usage(id: string): Promise<UsageOverview> {
    const row = await this.find(id)
    const [regions, stored] = await Promise.all([this.options.sandboxes.usage(id), this.options.storedUsage(id)])
    return toUsageOverview(row, stored, { regions, defaultRegionId: row.defaultRegionId })
  }

  async setQuota(id: string, body: UpdateQuota): Promise<Organization> {
    return this.show(await this.update(id, toQuotaChanges(body)))
  }

  async setDefaultRegion(id: string, regionId: string): Promise<void> {
    await this.update(id, { defaultRegionId: await this.resolveRegion(regionId, id) })
  }

  async suspend(id: string, { reason, until }: SuspendOrganization): Promise<void> {
    await this.update(id, {
      suspended: true,
      suspendedAt: new Date(this.options.now()),
      suspensionReason: reason ?? null,
      suspendedUntil: until === undefined || until === null ? null : parseTime('until', until),
    })
  }

  async unsuspend(id: string): Promise<void> {
    await this.update(id, { suspended: false, suspendedAt: null, suspensionReason: null, suspendedUntil: null })
  }

  private async find(id: string): Promise<OrganizationRow> {
    const row = isUuid(id) ? await createOrganizationStore(this.options.database.db).find(id) : undefined
    if (row === undefined) throw organizationNotFound(id)
    return row
  }

  private async update(id: string, changes: OrganizationChanges): Promise<OrganizationRow> {
    const organizations = createOrganizationStore(this.options.database.db)
    const row = isUuid(id) ? await organizations.update(id, changes) : undefined
    if (row === undefined) throw organizationNotFound(id)
    return row
  }

  /**
   * Requires a verified email address where that is configured. Locks the user, so that their organizations are counted
   * one create at a time.
   */
  private async requireVerified(tx: Queryable, userId: string): Promise<void> {
    const users = createUserStore(tx)
    await users.lock(userId)
    if (!this.options.requireVerifiedEmail || (await users.find(userId))?.emailVerified === true) return
    throw new AppError('FORBIDDEN', 'Verify your email address first')
  }

  private async resolveRegion(region: string | undefined, organizationId: string | undefined): Promise<string | null> {
    return region === undefined ? null : await this.options.regions.resolve(region, organizationId)
  }

  private show(row: OrganizationRow): Organization {
    return toOrganization(row, this.options.now())
  }
}
