import type { ApiKeyList, ApiKeyResponse, CreateApiKey } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { requireAccess } from '../auth/authorizer.ts'
import { parsePermissions, toPermissions } from '../auth/permission.ts'
import type { Principal } from '../auth/principal.ts'
import { parseTime } from '../http/time-field.ts'
import { generateApiKey, hashApiKey, shownParts } from './api-key.ts'
import type { ApiKeyFilter, ApiKeyRow, ApiKeyStore } from './api-key-store.ts'

const MASK = '*'.repeat(20)

/** Makes, shows and ends API keys. A caller sees only the keys of the organization of the call. */
export interface ApiKeyService {
  /**
   * Throws FORBIDDEN for a permission that the caller lacks and for a key that outlives the key it is made with;
   * VALIDATION_FAILED, API_KEY_NAME_TAKEN and QUOTA_EXCEEDED.
   */
  create(caller: Principal, wanted: CreateApiKey): Promise<ApiKeyResponse>
  /** Returns the caller's own keys, or all users' keys, the last used first. */
  list(caller: Principal, whose: 'own' | 'all'): Promise<ApiKeyList[]>
  /** Returns the key of the call. Throws FORBIDDEN when the credential was no key. */
  current(caller: Principal): Promise<ApiKeyList>
  /** Throws API_KEY_NOT_FOUND. */
  get(caller: Principal, name: string): Promise<ApiKeyList>
  /**
   * Ends a key, at once on every replica. Throws API_KEY_NOT_FOUND, and FORBIDDEN to a key that lacks a permission of
   * the key to end, unless it is that key itself or manages keys.
   */
  delete(caller: Principal, key: { userId: string; name: string }): Promise<void>
}

export function createApiKeyService({ store }: { store: ApiKeyStore }): ApiKeyService {
  async function find(filter: ApiKeyFilter, what: string): Promise<ApiKeyList> {
    const [row] = await store.list(filter)
    if (row === undefined) throw notFound(what)
    return toListed(row)
  }

  /** A leaked key must not be able to make a key that outlives it. */
  async function requireNoLongerLife({ apiKeyId, organizationId }: Principal, expiresAt: Date | null): Promise<void> {
    if (apiKeyId === undefined) return
    const [own] = await store.list({ organizationId, apiKeyId })
    const end = own?.expiresAt ?? null
    if (end === null || (expiresAt !== null && expiresAt <= end)) return
    throw new AppError('FORBIDDEN', `This API key ends at ${end.toISOString()} and cannot make one that ends later`)
  }

  return {
    async create(caller, wanted) {
      const allowed = parsePermissions(wanted.permissions)
      for (const permission of allowed) requireAccess(caller, permission)
      const expiresAt = toTime(wanted.expiresAt)
      await requireNoLongerLife(caller, expiresAt)
      const value = generateApiKey()
      const { userId, organizationId } = caller
      const row = await store.insertIfNew({
        ...{ userId, organizationId, name: wanted.name, permissions: allowed },
        keyHash: hashApiKey(value),
        ...shownParts(value),
        expiresAt,
      })
      if (row === undefined) throw new AppError('API_KEY_NAME_TAKEN', `API key with name ${wanted.name} already exists`)
      const { name, createdAt, permissions: stored, expiresAt: ends } = toListed(row)
      return { name, value, createdAt, permissions: stored, expiresAt: ends }
    },
    async list({ userId, organizationId }, whose) {
      const rows = await store.list(whose === 'all' ? { organizationId } : { organizationId, userId })
      return rows.map(toListed)
    },
    async current({ apiKeyId, organizationId }) {
      if (apiKeyId === undefined) throw new AppError('FORBIDDEN', 'The credential of this call is no API key')
      return await find({ organizationId, apiKeyId }, apiKeyId)
    },
    get: ({ userId, organizationId }, name) => find({ organizationId, userId, name }, name),
    async delete(caller, { userId, name }) {
      const { organizationId } = caller
      const [row] = await store.list({ organizationId, userId, name })
      if (row === undefined) throw notFound(name)
      requireDeletable(caller, row)
      // By its id: another key that took the name meanwhile may have more permissions.
      if (!(await store.delete({ organizationId, apiKeyId: row.id }))) throw notFound(name)
    },
  }
}

/** A leaked key must not be able to end a key that has more permissions. */
function requireDeletable({ kind, apiKeyId, systemRole, permissions }: Principal, row: ApiKeyRow): void {
  if (kind !== 'apiKey' || systemRole === 'admin' || apiKeyId === row.id) return
  if (permissions.has('manage:api_keys')) return
  const missing = [...toPermissions(row.permissions)].find((permission) => !permissions.has(permission))
  if (missing === undefined) return
  throw new AppError('FORBIDDEN', `This API key cannot delete one that may do more: it lacks ${missing}`)
}

function toTime(text: string | null | undefined): Date | null {
  return text === null || text === undefined ? null : parseTime('body.expiresAt', text)
}

function toListed(row: ApiKeyRow): ApiKeyList {
  return {
    name: row.name,
    value: row.keyPrefix + MASK + row.keySuffix,
    createdAt: row.createdAt.toISOString(),
    permissions: row.permissions,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    userId: row.userId,
    organizationId: row.organizationId,
  }
}

function notFound(name: string): AppError {
  return new AppError('API_KEY_NOT_FOUND', `API key ${name} not found`)
}
