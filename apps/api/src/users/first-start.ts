import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Logger } from '@atoll/service'
import { sql } from 'drizzle-orm'
import { generateApiKey, hashApiKey, isApiKey, shownParts } from '../api-keys/api-key.ts'
import { createApiKeyStore } from '../api-keys/api-key-store.ts'
import { permissions } from '../auth/permission.ts'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Database } from '../database/database.ts'
import { createOrganizationStore } from '../organizations/organization-store.ts'
import { UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import type { PasswordService } from '../sign-in/password-service.ts'
import { createSignInStore } from '../sign-in/sign-in-store.ts'
import { readSecretFile, writeSecretFile } from './secret-file.ts'
import { createUserStore } from './user-store.ts'

const API_KEY_FILE = 'api-key'
const ADMINISTRATOR_LOGIN = 'admin'
const API_KEY_NAME = 'first start'

/** Path of the file that holds the first key of the system. */
export function apiKeyFile(dataDir: string): string {
  return join(dataDir, API_KEY_FILE)
}

/**
 * Makes an administrator in a database without one, with a personal organization without quotas and an API key with
 * every permission. The key is flushed to disk before the database knows it: after a crash in between, the next start
 * takes the key from the file, so no administrator has a lost key. Replicas take turns.
 */
export async function ensureAdministrator(options: {
  database: Database
  dataDir: string
  log: Logger
}): Promise<void> {
  const file = apiKeyFile(options.dataDir)
  await options.database.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${advisoryLocks.firstStart})`)
    const userStore = createUserStore(tx)
    if (await userStore.hasAdministrator()) return
    const key = await keepKey(file)
    const userId = randomUUID()
    await userStore.insert({ id: userId, name: 'Administrator', role: 'admin', emailVerified: true })
    await createApiKeyStore(tx).insert({
      organizationId: await createOrganizationStore(tx).insertPersonal(userId, { quotas: UNLIMITED_QUOTAS }),
      userId,
      name: API_KEY_NAME,
      keyHash: hashApiKey(key),
      ...shownParts(key),
      permissions: [...permissions],
    })
    options.log.info({ file }, 'made the administrator; their API key is in a file')
  })
}

/** Gives the first administrator the configured password, with the login `admin`, unless they already have one. */
export async function ensureAdministratorPassword(options: {
  database: Database
  passwords: Pick<PasswordService, 'set'>
  password: string | undefined
  log: Logger
}): Promise<void> {
  const { database, passwords, password, log } = options
  if (password === undefined) return
  const administrator = await createUserStore(database.db).firstAdministrator()
  if (administrator === undefined) return
  const { id } = administrator
  if ((await createSignInStore(database.db).findPassword({ userId: id })) !== undefined) return
  await passwords.set(id, { password, login: ADMINISTRATOR_LOGIN })
  log.info({ login: ADMINISTRATOR_LOGIN }, 'gave the administrator the configured password')
}

/** Returns the key that an interrupted first start left, or writes a new one. */
async function keepKey(file: string): Promise<string> {
  const left = (await readSecretFile(file))?.trim()
  if (left !== undefined && isApiKey(left)) return left
  const key = generateApiKey()
  await writeSecretFile(file, `${key}\n`)
  return key
}
