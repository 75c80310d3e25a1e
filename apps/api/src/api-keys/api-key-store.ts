import { AppError } from '@atoll/protocol'
import { and, desc, eq, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { assignedPermissions } from '../organizations/membership-store.ts'
import { organizationUsers } from '../organizations/organization-table.ts'
import { users } from '../users/user-table.ts'
import { apiKeys } from './api-key-table.ts'

export type NewApiKey = typeof apiKeys.$inferInsert
export type ApiKeyRow = typeof apiKeys.$inferSelect

/** Selects keys of an organization. */
export interface ApiKeyFilter {
  organizationId: string
  userId?: string
  name?: string
  apiKeyId?: string
}

/** A key with its holder's role in its organization and in the system. */
export interface ApiKeyHolder {
  apiKeyId: string
  userId: string
  organizationId: string
  permissions: string[]
  expiresAt: Date | null
  role: 'owner' | 'member'
  /** The permissions of the holder's roles, where they are no owner. */
  rolePermissions: string[]
  systemRole: 'admin' | 'user'
}

/** The most keys of one user in one organization, expired ones included. */
export const MAX_KEYS_OF_A_USER = 500

export interface ApiKeyStore {
  insert(key: NewApiKey): Promise<void>
  /**
   * Returns undefined when the user has a key of this name there. Throws FORBIDDEN when they are no member, and
   * QUOTA_EXCEEDED when they have MAX_KEYS_OF_A_USER there (simultaneous calls may each still add one).
   */
  insertIfNew(key: NewApiKey): Promise<ApiKeyRow | undefined>
  /** Returns the last used keys first, then those never used; among equals the newest first. */
  list(filter: ApiKeyFilter): Promise<ApiKeyRow[]>
  /** Returns whether there was such a key. */
  delete(key: { organizationId: string; apiKeyId: string }): Promise<boolean>
  findHolder(keyHash: string): Promise<ApiKeyHolder | undefined>
  /** Moves `lastUsedAt` forward, never back. Skips ids of deleted keys. */
  recordUse(lastUsed: readonly { apiKeyId: string; usedAt: Date }[]): Promise<void>
}

export function createApiKeyStore(db: Queryable): ApiKeyStore {
  return {
    async insert(key) {
      await db.insert(apiKeys).values(key)
    },
    async insertIfNew(key) {
      const target = [apiKeys.organizationId, apiKeys.userId, apiKeys.name]
      const member = db
        .select({ userId: organizationUsers.userId })
        .from(organizationUsers)
        .where(and(eq(organizationUsers.organizationId, key.organizationId), eq(organizationUsers.userId, key.userId)))
      // An administrator may act in organizations where they are no member, but a key belongs to a member.
      if ((await member).length === 0) throw new AppError('FORBIDDEN', 'Only a member can have an API key here')
      const { organizationId, userId } = key
      if ((await db.$count(apiKeys, matching({ organizationId, userId }))) >= MAX_KEYS_OF_A_USER) {
        throw new AppError('QUOTA_EXCEEDED', `There may be at most ${MAX_KEYS_OF_A_USER} API keys of a user here`)
      }
      const [row] = await db.insert(apiKeys).values(key).onConflictDoNothing({ target }).returning()
      return row
    },
    list: (filter) =>
      db
        .select()
        .from(apiKeys)
        .where(matching(filter))
        .orderBy(sql`${apiKeys.lastUsedAt} desc nulls last`, desc(apiKeys.createdAt), apiKeys.id),
    async delete(key) {
      const deleted = await db.delete(apiKeys).where(matching(key)).returning({ id: apiKeys.id })
      return deleted.length > 0
    },
    async findHolder(keyHash) {
      const [holder] = await db
        .select({
          apiKeyId: apiKeys.id,
          userId: apiKeys.userId,
          organizationId: apiKeys.organizationId,
          permissions: apiKeys.permissions,
          expiresAt: apiKeys.expiresAt,
          role: organizationUsers.role,
          rolePermissions: assignedPermissions(),
          systemRole: users.role,
        })
        .from(apiKeys)
        .innerJoin(
          organizationUsers,
          and(
            eq(organizationUsers.organizationId, apiKeys.organizationId),
            eq(organizationUsers.userId, apiKeys.userId),
          ),
        )
        .innerJoin(users, eq(users.id, apiKeys.userId))
        .where(eq(apiKeys.keyHash, keyHash))
      return holder
    },
    async recordUse(lastUsed) {
      const used = JSON.stringify(lastUsed.map(({ apiKeyId, usedAt }) => ({ id: apiKeyId, at: usedAt })))
      await db.execute(sql`
        update ${apiKeys} set last_used_at = used.at
        from jsonb_to_recordset(${used}::jsonb) as used(id uuid, at timestamptz)
        where ${apiKeys.id} = used.id and (${apiKeys.lastUsedAt} is null or ${apiKeys.lastUsedAt} < used.at)`)
    },
  }
}

function matching(filter: ApiKeyFilter) {
  return and(
    eq(apiKeys.organizationId, filter.organizationId),
    filter.userId === undefined ? undefined : eq(apiKeys.userId, filter.userId),
    filter.name === undefined ? undefined : eq(apiKeys.name, filter.name),
    filter.apiKeyId === undefined ? undefined : eq(apiKeys.id, filter.apiKeyId),
  )
}
