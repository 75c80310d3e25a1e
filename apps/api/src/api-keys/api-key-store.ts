import { and, eq, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { organizationUsers } from '../organizations/organization-table.ts'
import { users } from '../users/user-table.ts'
import { apiKeys } from './api-key-table.ts'

export type NewApiKey = typeof apiKeys.$inferInsert

/** A key with what its holder is in the key's organization and in the system. */
export interface ApiKeyHolder {
  apiKeyId: string
  userId: string
  organizationId: string
  permissions: string[]
  expiresAt: Date | null
  role: 'owner' | 'member'
  systemRole: 'admin' | 'user'
}

export interface ApiKeyStore {
  insert(key: NewApiKey): Promise<void>
  findHolder(keyHash: string): Promise<ApiKeyHolder | undefined>
  /** Moves `lastUsedAt` forward, never back. Ids that are gone are passed over. */
  recordUse(lastUsed: readonly { apiKeyId: string; usedAt: Date }[]): Promise<void>
}

export function createApiKeyStore(db: Queryable): ApiKeyStore {
  return {
    async insert(key) {
      await db.insert(apiKeys).values(key)
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
