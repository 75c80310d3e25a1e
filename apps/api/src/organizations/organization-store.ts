import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { OrganizationRow } from './organization-table.ts'
import { organizations, organizationUsers } from './organization-table.ts'
import type { QuotaLimits } from './quota-limits.ts'
import { DEFAULT_QUOTAS } from './quota-limits.ts'

/** Name of each user's personal organization. */
const PERSONAL_NAME = 'Personal'

/** The reason for the suspension of a personal organization whose user has an unverified email address. */
export const UNVERIFIED_EMAIL_REASON = 'Verify your email address'

/** Settings of a personal organization that differ from the defaults. */
export interface PersonalOptions {
  quotas?: Readonly<QuotaLimits>
  suspensionReason?: string | undefined
}

export type OrganizationChanges = Partial<Omit<OrganizationRow, 'id' | 'createdBy' | 'createdAt' | 'updatedAt'>>

/** The SQL of organizations. Deleted organizations are not found. */
export interface OrganizationStore {
  /** Makes the user's personal organization, owned by them, with `DEFAULT_QUOTAS` unless others are given; returns its id. */
  insertPersonal(userId: string, options?: PersonalOptions): Promise<string>
  /** Lifts the suspension of the user's personal organization if it has exactly this reason. */
  liftPersonalSuspension(userId: string, reason: string): Promise<void>
  /** Makes an organization with `DEFAULT_QUOTAS`, owned by its creator. */
  insert(values: { name: string; createdBy: string; defaultRegionId: string | null }): Promise<OrganizationRow>
  find(id: string): Promise<OrganizationRow | undefined>
  /** Finds and locks the row until the transaction ends, so that its members change one after the other. */
  lock(id: string): Promise<OrganizationRow | undefined>
  /** Returns the organizations the user belongs to, oldest first; only `onlyId` of these where it is given. */
  listOf(userId: string, onlyId: string | undefined): Promise<OrganizationRow[]>
  /** Returns the number of organizations the user has made, besides their personal one. */
  countMadeBy(userId: string): Promise<number>
  update(id: string, changes: OrganizationChanges): Promise<OrganizationRow | undefined>
  /**
   * Removes all members with their keys, and other rows that nothing else needs; sandboxes and the like are ended
   * elsewhere.
   */
  removeMembers(id: string): Promise<void>
}

export function createOrganizationStore(db: Queryable): OrganizationStore {
  const live = (id: string) => and(eq(organizations.id, id), isNull(organizations.deletedAt))
  return {
    async insertPersonal(userId, { quotas = DEFAULT_QUOTAS, suspensionReason } = {}) {
      const suspension =
        suspensionReason === undefined ? {} : { suspended: true, suspendedAt: new Date(), suspensionReason }
      const values = { ...quotas, ...suspension, name: PERSONAL_NAME, createdBy: userId, personal: true }
      return (await insertOwned(db, values)).id
    },
    insert: (values) => insertOwned(db, { ...DEFAULT_QUOTAS, ...values, personal: false }),
    async find(id) {
      const [row] = await db.select().from(organizations).where(live(id))
      return row
    },
    async lock(id) {
      const [row] = await db.select().from(organizations).where(live(id)).for('no key update')
      return row
    },
    async listOf(userId, onlyId) {
      const rows = await db
        .select({ row: organizations })
        .from(organizationUsers)
        .innerJoin(organizations, eq(organizations.id, organizationUsers.organizationId))
        .where(
          and(
            eq(organizationUsers.userId, userId),
            isNull(organizations.deletedAt),
            onlyId === undefined ? undefined : eq(organizations.id, onlyId),
          ),
        )
        .orderBy(asc(organizations.createdAt), organizations.id)
      return rows.map(({ row }) => row)
    },
    async countMadeBy(userId) {
      const made = and(eq(organizations.createdBy, userId), eq(organizations.personal, false))
      return await db.$count(organizations, and(made, isNull(organizations.deletedAt)))
    },
    async update(id, changes) {
      const values = { ...changes, updatedAt: sql`now()` }
      const [row] = await db.update(organizations).set(values).where(live(id)).returning()
      return row
    },
    async removeMembers(id) {
      await db.delete(organizationUsers).where(eq(organizationUsers.organizationId, id))
    },
    async liftPersonalSuspension(userId, reason) {
      const lifted = { suspended: false, suspendedAt: null, suspensionReason: null, suspendedUntil: null }
      await db
        .update(organizations)
        .set(lifted)
        .where(
          and(
            eq(organizations.createdBy, userId),
            eq(organizations.personal, true),
            eq(organizations.suspensionReason, reason),
          ),
        )
    },
  }
}

async function insertOwned(db: Queryable, values: typeof organizations.$inferInsert): Promise<OrganizationRow> {
  const [created] = await db.insert(organizations).values(values).returning()
  if (!created) throw new Error('the new organization was not returned')
  await db.insert(organizationUsers).values({
    organizationId: created.id,
    userId: values.createdBy,
    role: 'owner',
  })
  return created
}
