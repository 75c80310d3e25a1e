import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { generateApiKey, hashApiKey } from '../api-keys/api-key.ts'
import { createApiKeyStore } from '../api-keys/api-key-store.ts'
import { permissions } from '../auth/permission.ts'
import { createLogLines } from '../testing/log-lines.ts'
import { createTestApi } from '../testing/test-api.ts'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { apiKeyFile, ensureAdministrator, ensureAdministratorPassword } from './first-start.ts'

const log = createLogger('test', 'silent')
let database: TestDatabase
let dataDir: string

beforeEach(async () => {
  database = await createTestDatabase()
  dataDir = await mkdtemp(join(tmpdir(), 'atoll-first-start-'))
})
afterEach(async () => {
  await database[Symbol.asyncDispose]()
  await rm(dataDir, { recursive: true })
})

test('the first start makes an administrator whose key is in a file that only its owner reads', async () => {
  await ensureAdministrator({ database, dataDir, log })
  expect((await stat(apiKeyFile(dataDir))).mode & 0o777).toBe(0o600)
  expect(await readdir(dataDir)).toEqual(['api-key'])
  expect(await holderOfFile()).toMatchObject({
    role: 'owner',
    systemRole: 'admin',
    permissions: [...permissions],
    expiresAt: null,
  })
  const organizations = await database.sql`select name, personal, cpu_quota from organizations`
  expect([...organizations]).toEqual([{ name: 'Personal', personal: true, cpu_quota: null }])
})

test('the key is stored as its hash, and neither the database nor the log holds it', async () => {
  const lines = createLogLines()
  await ensureAdministrator({ database, dataDir, log: lines.log })
  const key = await keyInFile()
  expect(key).toMatch(/^dtn_[0-9a-f]{64}$/)
  const rows = await database.sql`select * from api_keys`
  expect(rows[0]).toMatchObject({ key_hash: hashApiKey(key), key_prefix: 'dtn', key_suffix: key.slice(-3) })
  expect(JSON.stringify(rows)).not.toContain(key)
  expect(lines.text()).not.toContain(key)
})

test('a later start changes nothing', async () => {
  await ensureAdministrator({ database, dataDir, log })
  const key = await keyInFile()
  await ensureAdministrator({ database, dataDir, log })
  expect(await keyInFile()).toBe(key)
  expect(await countKeys()).toBe(1)
})

test('starts at once make one administrator', async () => {
  await Promise.all([1, 2, 3].map(() => ensureAdministrator({ database, dataDir, log })))
  expect(await countKeys()).toBe(1)
  expect(await holderOfFile()).toBeDefined()
})

test('a crash after the file and before the database leaves a key that the next start uses', async () => {
  await database.sql`alter table api_keys add constraint crash check (false)`
  await expect(ensureAdministrator({ database, dataDir, log })).rejects.toThrow()
  const key = await keyInFile()
  expect(await database.sql`select id from users`).toHaveLength(0)
  await database.sql`alter table api_keys drop constraint crash`
  await ensureAdministrator({ database, dataDir, log })
  expect(await keyInFile()).toBe(key)
  expect(await holderOfFile()).toMatchObject({ systemRole: 'admin' })
})

test('when the file cannot be written, nothing is made', async () => {
  const missing = join(dataDir, 'missing')
  await expect(ensureAdministrator({ database, dataDir: missing, log })).rejects.toThrow('ENOENT')
  expect(await database.sql`select id from users`).toHaveLength(0)
})

test('a file that holds no key is replaced', async () => {
  await writeFile(apiKeyFile(dataDir), 'garbage')
  await ensureAdministrator({ database, dataDir, log })
  expect(await holderOfFile()).toBeDefined()
})

test('a new database takes the key that the folder has', async () => {
  const key = generateApiKey()
  await writeFile(apiKeyFile(dataDir), `${key}\n`)
  await ensureAdministrator({ database, dataDir, log })
  expect(await keyInFile()).toBe(key)
  expect(await holderOfFile()).toBeDefined()
})

test('a configured password lets the administrator sign in, and replaces none that they have', async () => {
  await using api = await createTestApi()
  const { passwords } = api
  const give = (password: string | undefined) =>
    ensureAdministratorPassword({ database: api.database, passwords, password, log })
  await give('too early, there is nobody')
  await ensureAdministrator({ database: api.database, dataDir, log })
  await give(undefined)
  await give('the first password')
  await give('another password')
  const signIn = async (password: string) =>
    (await api.app.inject({ method: 'POST', url: '/api/auth/sign-in', payload: { login: 'admin', password } }))
      .statusCode
  expect(await signIn('the first password')).toBe(200)
  expect(await signIn('another password')).toBe(401)
})

async function keyInFile(): Promise<string> {
  return (await readFile(apiKeyFile(dataDir), 'utf8')).trim()
}

async function holderOfFile() {
  return createApiKeyStore(database.db).findHolder(hashApiKey(await keyInFile()))
}

async function countKeys(): Promise<number> {
  return (await database.sql`select id from api_keys`).length
}
