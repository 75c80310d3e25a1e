import { sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { organizationUserRoles } from './organization-role-table.ts'
import { organizations, organizationUsers } from './organization-table.ts'

/**
 * Gives a user every membership of another user that they lack. The other keeps theirs; their personal organization
 * becomes an ordinary one, since a user has only one.
 */
export async function copyMemberships(tx: Queryable, users: { from: string; to: string }): Promise<void> {
  const { from, to } = users
  await tx.execute(sql`
    with copied as (
      insert into ${organizationUsers} (organization_id, user_id, role)
      select organization_id, ${to}, role from ${organizationUsers} where user_id = ${from}
      on conflict do nothing
      returning organization_id
    )
    insert into ${organizationUserRoles} (organization_id, user_id, role_id)
    select r.organization_id, ${to}, r.role_id
    from ${organizationUserRoles} r join copied on copied.organization_id = r.organization_id
    where r.user_id = ${from}`)
  await tx.execute(sql`
    update ${organizations} set personal = false, updated_at = now() where created_by = ${from} and personal`)
}
