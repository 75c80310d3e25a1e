import type { Queryable } from '../database/database.ts'
import { organizations, organizationUsers } from './organization-table.ts'

/** Name of the organization that each user has of their own. */
const PERSONAL_NAME = 'Personal'

export interface OrganizationStore {
  /** Makes the user's own organization, with them as its owner; answers its id. */
  insertPersonal(userId: string): Promise<string>
}

export function createOrganizationStore(db: Queryable): OrganizationStore {
  return {
    async insertPersonal(userId) {
      const [created] = await db
        .insert(organizations)
        .values({ name: PERSONAL_NAME, createdBy: userId, personal: true })
        .returning({ id: organizations.id })
      if (!created) throw new Error('the new organization was not returned')
      await db.insert(organizationUsers).values({ organizationId: created.id, userId, role: 'owner' })
      return created.id
    },
  }
}
