import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { createLogger } from '@atoll/service'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLocalObjectStore } from '../../object-storage/local-objects.ts'
import { createObjectFolder } from '../../object-storage/object-folder.ts'
import type { TestDatabase } from '../../testing/test-database.ts'
import { createTestDatabase } from '../../testing/test-database.ts'
import type { BackupObjects } from './backup-objects.ts'
import { backupKey, createBackupObjects } from './backup-objects.ts'

let database: TestDatabase
let dir: string
let objects: BackupObjects

beforeAll(async () => {
  database = await createTestDatabase()
  dir = await mkdtemp(join(tmpdir(), 'atoll-backups-'))
  const log = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent')
  objects = createBackupObjects(createLocalObjectStore({ database, folder: createObjectFolder(dir), log }))
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

it('A6: an upload ends when another to its key is begun', async () => {
  const key = backupKey({ id: randomUUID(), sandboxId: randomUUID() })
  const other = backupKey({ id: randomUUID(), sandboxId: randomUUID() })
  const [old, untouched] = [await objects.begin(key), await objects.begin(other)]
  const uploadId = await objects.begin(key)
  const put = (target: { uploadId: string; key: string }) =>
    objects.putPart({ ...target, number: 1 }, Readable.from([Buffer.from('part')]), 4)
  await expect(put({ uploadId: old, key })).rejects.toMatchObject({ code: 'OBJECT_UPLOAD_NOT_FOUND' })
  await put({ uploadId: untouched, key: other })
  const etag = await put({ uploadId, key })
  expect(await objects.complete({ uploadId, key }, [{ number: 1, etag }])).toBe(true)
  expect(await objects.size(key)).toBe(4)
})
