import type { CreateUser, User, UserEntity } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Caller } from '../auth/principal.ts'
import type { Database } from '../database/database.ts'
import { createOrganizationStore, UNVERIFIED_EMAIL_REASON } from '../organizations/organization-store.ts'
import { DEFAULT_QUOTAS } from '../organizations/quota-limits.ts'
import { toQuotaChanges } from '../organizations/quota-update.ts'
import type { Sealer } from '../secrets/sealer.ts'
import { generateRsaKeyPair } from './key-pair.ts'
import type { UserRow } from './user-store.ts'
import { createUserStore } from './user-store.ts'

/** The name of a user's only public key. */
const KEY_NAME = 'default'

/** Shows users to themselves, and lets administrators make them. */
export interface UserService {
  me(caller: Caller): Promise<User>
  list(): Promise<UserEntity[]>
  /** Throws USER_NOT_FOUND. */
  get(id: string): Promise<UserEntity>
  /**
   * Makes a user with a key pair and a personal organization, with `DEFAULT_QUOTAS` unless others are given. Throws
   * USER_EXISTS.
   */
  create(wanted: CreateUser): Promise<UserEntity>
  /** Replaces the former key pair. Throws USER_NOT_FOUND. */
  regenerateKeyPair(id: string): Promise<UserEntity>
}

export function createUserService(options: { database: Database; sealer: Sealer }): UserService {
  const { database, sealer } = options
  const store = createUserStore(database.db)

  async function newKeyPair(userId: string): Promise<{ publicKey: string; sealedPrivateKey: string }> {
    const { publicKey, privateKey } = await generateRsaKeyPair()
    const place = { table: 'users', row: userId, column: 'sealed_private_key' }
    return { publicKey, sealedPrivateKey: sealer.seal(privateKey, place) }
  }

  return {
    async me({ userId }) {
      const row = await store.find(userId)
      if (row === undefined) throw userNotFound(userId)
      return toUser(row)
    },
    list: async () => (await store.list()).map(toEntity),
    async get(id) {
      const row = await store.find(id)
      if (row === undefined) throw userNotFound(id)
      return toEntity(row)
    },
    async create({ id, name, email = '', role = 'user', emailVerified = true, personalOrganizationQuota = {} }) {
      const keyPair = await newKeyPair(id)
      const row = await database.transaction(async (tx) => {
        const created = await createUserStore(tx).insertIfNew({ id, name, email, role, emailVerified, ...keyPair })
        if (created === undefined) return undefined
        const suspensionReason = emailVerified ? undefined : UNVERIFIED_EMAIL_REASON
        const quotas = { ...DEFAULT_QUOTAS, ...toQuotaChanges(personalOrganizationQuota) }
        await createOrganizationStore(tx).insertPersonal(id, { quotas, suspensionReason })
        return created
      })
      if (row === undefined) throw new AppError('USER_EXISTS', `User with ID ${id} already exists`)
      return toEntity(row)
    },
    async regenerateKeyPair(id) {
      // The pair is generated only for a user who exists.
      const found = await store.find(id)
      const row = found && (await store.update(id, await newKeyPair(id)))
      if (row === undefined) throw userNotFound(id)
      return toEntity(row)
    },
  }
}

function toUser(row: UserRow): User {
  return {
    id: row.id,
    name: row.name,
    email: row.email,
    emailVerified: row.emailVerified,
    publicKeys: row.publicKey === null ? [] : [{ key: row.publicKey, name: KEY_NAME }],
    createdAt: row.createdAt.toISOString(),
  }
}

function toEntity(row: UserRow): UserEntity {
  const keyPair = row.publicKey === null ? {} : { keyPair: { publicKey: row.publicKey } }
  return { ...toUser(row), role: row.role, ...keyPair }
}

/** The error for an id that no user has. */
export function userNotFound(id: string): AppError {
  return new AppError('USER_NOT_FOUND', `User with ID ${id} not found`)
}
