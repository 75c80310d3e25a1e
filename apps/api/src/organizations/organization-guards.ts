import { AppError } from '@atoll/protocol'
import { actsAsOwner, organizationNotFound } from '../auth/authorizer.ts'
import type { Caller } from '../auth/principal.ts'
import { isPrincipal } from '../auth/principal.ts'
import type { Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { createOrganizationStore } from './organization-store.ts'
import type { OrganizationRow } from './organization-table.ts'
import { createRoleStore } from './role-store.ts'

/** Locks the organization, so that its members, roles and invitations change one after the other. */
export async function lockOrganization(tx: Queryable, organizationId: string): Promise<OrganizationRow> {
  const row = await createOrganizationStore(tx).lock(organizationId)
  if (row === undefined) throw organizationNotFound(organizationId)
  return row
}

/**
 * Throws FORBIDDEN unless the caller may act on their own account: with an access token, or a key with every permission
 * in an organization that they own. Other keys are for one organization only.
 */
export function requireAccount(caller: Caller): void {
  if (!isPrincipal(caller) || caller.kind !== 'apiKey' || actsAsOwner(caller)) return
  throw new AppError('FORBIDDEN', 'This API key acts in its organization only')
}

/** Returns the role ids, each once. Throws VALIDATION_FAILED for a role that the organization cannot assign. */
export async function requireRoles(
  tx: Queryable,
  organizationId: string,
  { field, ids }: { field: string; ids: readonly string[] },
): Promise<string[]> {
  const wanted = [...new Set(ids.map((id) => id.toLowerCase()))]
  const found = await createRoleStore(tx).findMany(organizationId, wanted.filter(isUuid))
  const known = found.map(({ id }) => id)
  const unknown = wanted.find((id) => !known.includes(id))
  if (unknown === undefined) return known
  throw new AppError('VALIDATION_FAILED', `${field} holds the unknown role ${JSON.stringify(unknown)}`)
}
