import type { OrganizationRole, WriteOrganizationRole } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { parsePermissions } from '../auth/permission.ts'
import type { Database, Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { toRole } from './organization-dto.ts'
import { lockOrganization } from './organization-guards.ts'
import type { RoleValues } from './role-store.ts'
import { createRoleStore } from './role-store.ts'

/** Handles the roles that members of an organization can be given. A change applies at once to all members with the role. */
export interface RoleService {
  /** Returns the organization's own roles and the global ones, by id. */
  list(organizationId: string): Promise<OrganizationRole[]>
  /** Throws VALIDATION_FAILED for an unknown permission, ROLE_NAME_TAKEN. */
  create(organizationId: string, body: WriteOrganizationRole): Promise<OrganizationRole>
  /** Throws the errors of `create`, ROLE_NOT_FOUND, and FORBIDDEN for a global role. */
  update(organizationId: string, roleId: string, body: WriteOrganizationRole): Promise<OrganizationRole>
  /** Deletes the role and takes it from its members. Throws ROLE_NOT_FOUND, and FORBIDDEN for a global role. */
  delete(organizationId: string, roleId: string): Promise<void>
}

export function createRoleService({ db, transaction }: Pick<Database, 'db' | 'transaction'>): RoleService {
  return {
    list: async (organizationId) => (await createRoleStore(db).list(organizationId)).map(toRole),
    async create(organizationId, body) {
      const row = await transaction(async (tx) => {
        await lockOrganization(tx, organizationId)
        return await createRoleStore(tx).insert(organizationId, valuesOf(body))
      })
      if (row === undefined) throw nameTaken(body.name)
      return toRole(row)
    },
    async update(organizationId, roleId, body) {
      const values = valuesOf(body)
      return await transaction(async (tx) => {
        const roles = createRoleStore(tx)
        await lockOwnRole(tx, organizationId, roleId)
        if (await roles.isNameTaken(organizationId, body.name, roleId.toLowerCase())) throw nameTaken(body.name)
        const row = await roles.update(organizationId, roleId, values)
        if (row === undefined) throw notFound(roleId)
        return toRole(row)
      })
    },
    delete: (organizationId, roleId) =>
      transaction(async (tx) => {
        await lockOwnRole(tx, organizationId, roleId)
        await createRoleStore(tx).remove(organizationId, roleId)
      }),
  }
}

function valuesOf({ name, description, permissions }: WriteOrganizationRole): RoleValues {
  return { name, description, permissions: parsePermissions(permissions) }
}

/** Locks the organization. Throws unless the role is its own. */
async function lockOwnRole(tx: Queryable, organizationId: string, roleId: string): Promise<void> {
  await lockOrganization(tx, organizationId)
  const role = isUuid(roleId) ? await createRoleStore(tx).find(organizationId, roleId) : undefined
  if (role === undefined) throw notFound(roleId)
  if (role.organizationId === null) throw new AppError('FORBIDDEN', 'A global role cannot be changed or deleted')
}

function notFound(roleId: string): AppError {
  return new AppError('ROLE_NOT_FOUND', `Organization role with ID ${roleId} not found`)
}

function nameTaken(name: string): AppError {
  return new AppError('ROLE_NAME_TAKEN', `Organization role with name ${name} already exists`)
}
