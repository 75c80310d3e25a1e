import type { Logger } from '@atoll/service'
import type { FastifyPluginAsync } from 'fastify'
import type { Database } from '../database/database.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { OrganizationSandboxes } from '../sandboxes/organization-sandboxes.ts'
import type { OrganizationSnapshots } from '../snapshots/organization-snapshots.ts'
import type { OrganizationVolumes } from '../volumes/organization-volumes.ts'
import { invitationRoutes } from './invitation-routes.ts'
import type { InvitationService } from './invitation-service.ts'
import { createInvitationService } from './invitation-service.ts'
import { memberRoutes } from './member-routes.ts'
import type { MemberService } from './member-service.ts'
import { createMemberService } from './member-service.ts'
import { organizationRoutes } from './organization-routes.ts'
import type { OrganizationService } from './organization-service.ts'
import { createOrganizationService } from './organization-service.ts'
import type { OrganizationBelongings, OrganizationUpkeep } from './organization-upkeep.ts'
import { createOrganizationUpkeep } from './organization-upkeep.ts'
import { roleRoutes } from './role-routes.ts'
import type { RoleService } from './role-service.ts'
import { createRoleService } from './role-service.ts'

export interface OrganizationPartsOptions {
  database: Database
  sandboxes: OrganizationSandboxes
  snapshots: OrganizationSnapshots
  volumes: OrganizationVolumes
  warmPools: OrganizationBelongings
  regions: Pick<RegionService, 'resolve'>
  /** Whether an email address counts only when it is verified. */
  requireVerifiedEmail: boolean
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

export interface OrganizationParts {
  readonly organizations: OrganizationService
  readonly members: MemberService
  readonly roles: RoleService
  readonly invitations: InvitationService
  readonly upkeep: OrganizationUpkeep
}

/** Makes the parts in the order of their dependencies. The caller starts and disposes the upkeep. */
export function createOrganizationParts(options: OrganizationPartsOptions): OrganizationParts {
  const { database, sandboxes, snapshots, volumes, warmPools, log, now } = options
  const belongings = [warmPools, volumes, sandboxes, snapshots]
  const upkeep = createOrganizationUpkeep({ database, belongings, log, now })
  return {
    upkeep,
    organizations: createOrganizationService({
      ...options,
      async storedUsage(id) {
        const [used, count] = await Promise.all([snapshots.usage(id), volumes.count(id)])
        return { ...used, volumes: count }
      },
      onDeleted: upkeep.wake,
    }),
    members: createMemberService(database),
    roles: createRoleService(database),
    invitations: createInvitationService(options),
  }
}

/** Serves everything below `/organizations`. */
export const allOrganizationRoutes: FastifyPluginAsync<OrganizationParts> = async (app, parts) => {
  await app.register(organizationRoutes, parts)
  await app.register(memberRoutes, parts)
  await app.register(roleRoutes, parts)
  await app.register(invitationRoutes, parts)
}
