import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readConfig } from '../config.ts'
import { loadSealingKeys, sealingKeyFile } from './sealing-key-file.ts'

let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'atoll-keys-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

function load(encryptionKey?: string) {
  const secrets = { databaseUrl: undefined, encryptionKey }
  return loadSealingKeys({ config: { dataDir }, secrets, log: createLogger('test', 'silent') })
}

test('a key is made once, for its owner alone, also by processes that start at once', async () => {
  const loaded = await Promise.all(Array.from({ length: 10 }, () => load()))
  const ids = loaded.map(([key]) => key?.bytes.toString('hex'))
  expect(new Set(ids).size).toBe(1)
  expect((await load())[0]?.bytes.toString('hex')).toBe(ids[0])
  expect((await stat(sealingKeyFile(dataDir))).mode & 0o777).toBe(0o600)
  expect(await readdir(dataDir)).toEqual(['encryption-key'])
})

test('a configured key leaves the folder as it is', async () => {
  const key = randomBytes(32)
  for (const text of [key.toString('hex'), key.toString('base64'), key.toString('base64url')]) {
    expect((await load(text)).map(({ bytes }) => bytes)).toEqual([key])
  }
  expect(await readdir(dataDir)).toEqual([])
})

test('a file that holds no key is told and not replaced', async () => {
  await writeFile(sealingKeyFile(dataDir), 'hunter2\n')
  await expect(load()).rejects.toThrow('holds no encryption key')
  await expect(load()).rejects.not.toThrow(/hunter2/)
  expect(await readFile(sealingKeyFile(dataDir), 'utf8')).toBe('hunter2\n')
})

test.each(['hunter2', 'A'.repeat(63), 'A'.repeat(65), `${'A'.repeat(43)}==`, `${'f'.repeat(64)},`])(
  'the configuration refuses %s as a key, without repeating it',
  (text) => {
    const read = () => readConfig({ ATOLL_DATA_DIR: '/data', ATOLL_ENCRYPTION_KEY: text })
    expect(read).toThrow(/ATOLL_ENCRYPTION_KEY.*the value given/)
    expect(read).not.toThrow(text)
  },
)

test('the configuration takes several keys', () => {
  const text = `${'f'.repeat(64)}, ${randomBytes(32).toString('base64')}`
  expect(readConfig({ ATOLL_DATA_DIR: '/data', ATOLL_ENCRYPTION_KEY: text }).secrets.encryptionKey).toBe(text)
})
