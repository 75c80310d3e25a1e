import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_SNAPSHOT } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { createLogger } from '@atoll/service'
import { generateApiKey, hashApiKey, shownParts } from '../api-keys/api-key.ts'
import { createApiKeyStore } from '../api-keys/api-key-store.ts'
import type { Api } from '../app.ts'
import { createApi } from '../app.ts'
import type { Permission } from '../auth/permission.ts'
import { permissions } from '../auth/permission.ts'
import type { Config, Secrets } from '../config.ts'
import type { Database } from '../database/database.ts'
import { createOrganizationStore } from '../organizations/organization-store.ts'
import type { QuotaLimits } from '../organizations/quota-limits.ts'
import { UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import { createUserStore } from '../users/user-store.ts'
import { createTestDatabase } from './test-database.ts'

export interface TestApi extends Api {
  /** The data folder of this API alone. */
  readonly dataDir: string
  /** The configuration and secrets from which a test makes another replica on the same database. */
  readonly config: Config
  readonly secrets: Secrets
  /** Makes a user with their organization and a key. */
  createPrincipal(options?: NewPrincipal): Promise<TestPrincipal>
}

export interface NewPrincipal {
  permissions?: readonly Permission[]
  systemRole?: 'admin' | 'user'
  expiresAt?: Date
  /** Unlimited unless given. */
  quotas?: Readonly<QuotaLimits>
}

export interface TestPrincipal {
  apiKey: string
  userId: string
  organizationId: string
  /** The headers of a request. */
  headers: { authorization: string }
}

/** Creates the whole API on its own database, not listening. The caller disposes it. */
export async function createTestApi(
  options: { config?: Partial<Config>; secrets?: Partial<Secrets>; log?: Logger } = {},
): Promise<TestApi> {
  const dataDir = await mkdtemp(join(tmpdir(), 'atoll-api-'))
  const database = await createTestDatabase()
  const config: Config = {
    dataDir,
    host: '127.0.0.1',
    port: 0,
    dialHomeDir: undefined,
    publicUrl: undefined,
    trustedProxies: [],
    runnerLostAfterMs: 120_000,
    previewDomain: undefined,
    oidcProviders: [],
    requireVerifiedEmail: true,
    historyDays: 90,
    s3: undefined,
    // Tests of warm pools configure some.
    warmPool: { snapshots: [DEFAULT_SNAPSHOT], min: 0, max: 0 },
    logLevel: 'silent',
    ...options.config,
  }
  const secrets: Secrets = {
    databaseUrl: undefined,
    runnerToken: undefined,
    adminPassword: undefined,
    proxyApiKey: undefined,
    encryptionKey: undefined,
    s3: undefined,
    ...options.secrets,
  }
  const api = await createApi({
    config,
    secrets,
    address: database.address,
    log: options.log ?? createLogger('test-api', 'silent'),
  })
  return {
    ...api,
    dataDir,
    config,
    secrets,
    createPrincipal: (principal) => createPrincipal(database, principal),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Creates a user with an organization and a key that may do everything, unless `options` say otherwise. */
export async function createPrincipal(database: Database, options: NewPrincipal = {}): Promise<TestPrincipal> {
  const { db } = database
  const userId = randomUUID()
  const role = options.systemRole ?? 'user'
  await createUserStore(db).insert({ id: userId, name: 'Ada', role, emailVerified: true })
  const organizationId = await createOrganizationStore(db).insertPersonal(userId, {
    quotas: options.quotas ?? UNLIMITED_QUOTAS,
  })
  const apiKey = generateApiKey()
  await createApiKeyStore(db).insert({
    organizationId,
    userId,
    name: 'test',
    keyHash: hashApiKey(apiKey),
    ...shownParts(apiKey),
    permissions: [...(options.permissions ?? permissions)],
    ...(options.expiresAt ? { expiresAt: options.expiresAt } : {}),
  })
  return { apiKey, userId, organizationId, headers: { authorization: `Bearer ${apiKey}` } }
}
