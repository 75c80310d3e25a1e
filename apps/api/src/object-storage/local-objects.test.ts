import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { createLogger } from '@atoll/service'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPrincipal } from '../testing/test-api.ts'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import type { LocalObjectStore } from './local-objects.ts'
import { createLocalObjectStore } from './local-objects.ts'
import { createObjectFolder } from './object-folder.ts'
import { scopeOf } from './object-key.ts'
import { MIN_PART_BYTES } from './object-store.ts'
import { describeObjectStore } from './object-store-conformance.ts'
import { LEFT_BEHIND_MS, sweepObjects } from './object-sweep.ts'
import { MAX_UPLOADS } from './object-upload-store.ts'

let database: TestDatabase
let dir: string
let store: LocalObjectStore

beforeAll(async () => {
  database = await createTestDatabase()
  dir = await mkdtemp(join(tmpdir(), 'atoll-objects-'))
  store = createLocalObjectStore({
    database,
    folder: createObjectFolder(dir),
    log: createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent'),
  })
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

const bytes = (content: string | Buffer) => Readable.from([Buffer.from(content)])
const newKey = () => `${randomUUID()}/key`

async function contentOf(key: string): Promise<string> {
  const opened = await store.get(key)
  return opened === undefined ? 'nothing' : String(await buffer(opened.body))
}

async function filesOnDisk(): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
}

async function filesOf(scope: string): Promise<readonly unknown[]> {
  return await database.sql`select name from object_files where scope = ${scope}`
}

/** Compares the stored sums with the rows, and the rows with the files. */
async function expectBooksBalanced(): Promise<void> {
  const { sql } = database
  const counted = await sql`
    select scope, coalesce(sum(bytes), 0)::bigint as bytes, count(*)::int as files from object_files group by scope`
  const kept = await sql`select scope, bytes, files from object_usage where files > 0 or bytes > 0`
  expect(new Map(kept.map((row) => [row['scope'], [row['bytes'], row['files']]]))).toEqual(
    new Map(counted.map((row) => [row['scope'], [row['bytes'], row['files']]])),
  )
  const rows = await sql`select name from object_files`
  expect((await filesOnDisk()).sort()).toEqual(rows.map((row) => String(row['name'])).sort())
}

describe('objects in the data folder', () => {
  describeObjectStore(() => ({ store, newScope: async () => randomUUID() }))

  it('have only files of random names, and none is left when all are deleted', async () => {
    const key = `${randomUUID()}/../../etc/passwd`
    await store.put(key, bytes('x'))
    for (const name of await filesOnDisk()) expect(name).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)
    await expectBooksBalanced()
    await store.delete(key)
    await expectBooksBalanced()
  })

  it('are whole whichever of many writers was last', async () => {
    const key = newKey()
    const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000))
    const reading = Array.from({ length: 20 }, async () => await contentOf(key))
    await Promise.all(contents.map((content) => store.put(key, bytes(content))))
    expect(contents).toContain(await contentOf(key))
    for (const content of await Promise.all(reading)) expect(['nothing', ...contents]).toContain(content)
    await expectBooksBalanced()
  })

  it('can be read to the end while they are replaced', async () => {
    const key = newKey()
    await store.put(key, bytes(Buffer.alloc(1_000_000, 'a')))
    const opened = await store.get(key)
    await store.put(key, bytes('b'))
    await store.delete(key)
    expect(opened && (await buffer(opened.body)).equals(Buffer.alloc(1_000_000, 'a'))).toBe(true)
  })

  it('leave no file of a body that fails before its file is open', async () => {
    const failing = () =>
      new Readable({
        read() {
          this.destroy(new Error('the source failed'))
        },
      })
    const puts = Array.from({ length: 50 }, () => store.put(newKey(), failing()))
    for (const outcome of await Promise.allSettled(puts)) expect(outcome.status).toBe('rejected')
    await expectBooksBalanced()
  })

  it('are not replaced when they must not be there', async () => {
    const key = newKey()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => store.put(key, bytes(String(index)), { ifAbsent: true })),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await expectBooksBalanced()
  })

  it('say so when their file is in another folder', async () => {
    const key = newKey()
    await store.put(key, bytes('x'))
    const elsewhere = await mkdtemp(join(tmpdir(), 'atoll-objects-'))
    const folder = createObjectFolder(elsewhere)
    const other = createLocalObjectStore({
      database,
      folder,
      log: createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent'),
    })
    await expect(other.get(key)).rejects.toMatchObject({ code: 'OBJECT_UNREADABLE' })
    await rm(elsewhere, { recursive: true })
  })
})

describe('a quota', () => {
  it('is never exceeded, however many come at once, and room comes back', async () => {
    const scope = randomUUID()
    const quota = { maxBytes: 1_000, maxFiles: 100 }
    const put = (index: number) => store.put(`${scope}/${index}`, bytes('x'.repeat(100)), { size: 100, quota })
    const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, index) => put(index)))
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(refused).toHaveLength(20)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'OBJECT_QUOTA_EXCEEDED' })
    await expectBooksBalanced()
    const page = await store.list({ prefix: `${scope}/`, limit: 1_000 })
    await store.delete(page.objects[0]?.key ?? '')
    await put(99)
    await expect(put(100)).rejects.toMatchObject({ code: 'OBJECT_QUOTA_EXCEEDED' })
  })

  it('of uploads that are under way is never exceeded, however many begin at once', async () => {
    const scope = randomUUID()
    await database.sql`
      insert into object_uploads (key, content_type, headers)
      select ${scope} || '/' || number, 'text/plain', '{}' from generate_series(1, ${MAX_UPLOADS - 3}) number`
    const begun = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => store.createUpload(`${scope}/new-${index}`)),
    )
    const refused = begun.filter((outcome) => outcome.status === 'rejected')
    await database.sql`delete from object_uploads where starts_with(key, ${scope})`
    expect(refused).toHaveLength(17)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'OBJECT_QUOTA_EXCEEDED' })
  })

  it('counts files, and bodies whose length was not told', async () => {
    const scope = randomUUID()
    const put = (name: string, content: string, quota: { maxBytes: number; maxFiles: number }) =>
      store.put(`${scope}/${name}`, bytes(content), { quota })
    await put('a', 'x', { maxBytes: 1_000, maxFiles: 1 })
    await expect(put('b', 'x', { maxBytes: 1_000, maxFiles: 1 })).rejects.toMatchObject({
      code: 'OBJECT_QUOTA_EXCEEDED',
    })
    const long = put('c', 'x'.repeat(1_000), { maxBytes: 1_000, maxFiles: 9 })
    await expect(long).rejects.toMatchObject({ code: 'OBJECT_QUOTA_EXCEEDED' })
    await expectBooksBalanced()
  })
})

describe('a multipart upload', () => {
  const big = (letter: string) => Buffer.alloc(MIN_PART_BYTES, letter)

  it('becomes one object of its parts at once; what was not named goes', async () => {
    const key = newKey()
    const uploadId = await store.createUpload(key, { contentType: 'text/plain', headers: { 'x-amz-meta-a': 'b' } })
    const replaced = await store.putPart({ uploadId, key, number: 1 }, bytes('replaced'))
    const first = await store.putPart({ uploadId, key, number: 1 }, bytes(big('a')))
    const unnamed = await store.putPart({ uploadId, key, number: 2 }, bytes('unnamed'))
    const last = await store.putPart({ uploadId, key, number: 7 }, bytes('end'))
    expect(new Set([replaced, first, unnamed, last]).size).toBe(4)
    expect(await contentOf(key)).toBe('nothing')
    const parts = [
      { number: 1, etag: first },
      { number: 7, etag: last },
    ]
    const facts = await store.completeUpload(uploadId, key, parts)
    expect(facts).toMatchObject({ size: MIN_PART_BYTES + 3, etag: expect.stringMatching(/^[0-9a-f]{32}-2$/) })
    expect(await store.head(key)).toMatchObject({ contentType: 'text/plain', headers: { 'x-amz-meta-a': 'b' } })
    const across = await store.get(key, { start: MIN_PART_BYTES - 2, end: MIN_PART_BYTES + 1 })
    expect(across && String(await buffer(across.body))).toBe('aaen')
    await expectBooksBalanced()
    await expect(store.completeUpload(uploadId, key, parts)).rejects.toMatchObject({ code: 'OBJECT_UPLOAD_NOT_FOUND' })
    await store.delete(key)
    await expectBooksBalanced()
  })

  it('takes many parts at once', async () => {
    const key = newKey()
    const uploadId = await store.createUpload(key)
    const numbers = Array.from({ length: 60 }, (_, index) => index + 1)
    await Promise.all(numbers.map((number) => store.putPart({ uploadId, key, number }, bytes(String(number)))))
    await store.abortUpload(uploadId, key)
    await expectBooksBalanced()
  })

  it('refuses parts that do not fit, and can go on', async () => {
    const key = newKey()
    const uploadId = await store.createUpload(key)
    const first = { number: 1, etag: await store.putPart({ uploadId, key, number: 1 }, bytes('small')) }
    const second = { number: 2, etag: await store.putPart({ uploadId, key, number: 2 }, bytes('end')) }
    const invalid = { code: 'OBJECT_PART_INVALID' }
    const refused = [
      [],
      [second, first],
      [first, first],
      [{ ...first, etag: second.etag }],
      [{ ...first, number: 3 }],
      [first, second],
    ]
    for (const parts of refused) {
      await expect(store.completeUpload(uploadId, key, parts)).rejects.toMatchObject(invalid)
    }
    await expect(store.completeUpload(uploadId, `${key}2`, [first])).rejects.toMatchObject({
      code: 'OBJECT_UPLOAD_NOT_FOUND',
    })
    await store.completeUpload(uploadId, key, [first])
    expect(await contentOf(key)).toBe('small')
    await expectBooksBalanced()
  })

  it('leaves nothing when it is aborted, also while a part comes', async () => {
    const key = newKey()
    const uploadId = await store.createUpload(key)
    await store.putPart({ uploadId, key, number: 1 }, bytes('x'))
    const slow = new Readable({ read: () => undefined })
    const coming = store.putPart({ uploadId, key, number: 2 }, slow)
    const refused = expect(coming).rejects.toMatchObject({ code: 'OBJECT_UPLOAD_NOT_FOUND' })
    await until('the part is being written', async () => (await filesOf(scopeOf(key))).length === 2)
    await store.abortUpload(uploadId, key)
    slow.push('y')
    slow.push(null)
    await refused
    await expect(store.abortUpload(uploadId, key)).rejects.toMatchObject({ code: 'OBJECT_UPLOAD_NOT_FOUND' })
    await expectBooksBalanced()
  })
})

describe('the sweep', () => {
  const sweep = (now: number) =>
    sweepObjects({ database, objects: store, now: () => now }, new AbortController().signal)

  it('removes uploads nobody went on with and files of a crash, and leaves the rest', async () => {
    const key = 'archives/kept'
    await store.put(key, bytes('kept'))
    const uploadId = await store.createUpload(key)
    await store.putPart({ uploadId, key, number: 1 }, bytes('x'))
    // The remains of two crashes: one after the file was written but before its object's row, one before the file.
    const folder = createObjectFolder(dir)
    const [written, unwritten] = [randomUUID(), randomUUID()]
    await folder.write(written, bytes('left'), 10)
    await database.sql`insert into object_usage values ('crashed', 8, 2)`
    await database.sql`insert into object_files values (${written}, 'crashed', 4), (${unwritten}, 'crashed', 4)`

    await sweep(Date.now())
    expect(await filesOnDisk()).toContain(written)
    await store.putPart({ uploadId, key, number: 2 }, bytes('x'))

    await sweep(Date.now() + LEFT_BEHIND_MS + 60_000)
    await expect(store.abortUpload(uploadId, key)).rejects.toMatchObject({ code: 'OBJECT_UPLOAD_NOT_FOUND' })
    expect(await contentOf(key)).toBe('kept')
    await expectBooksBalanced()
  })

  it('removes what belongs to an organization that is gone, and to no other', async () => {
    const { organizationId } = await createPrincipal(database)
    const gone = randomUUID()
    for (const scope of [organizationId, gone]) {
      await store.put(`${scope}/a`, bytes('a'))
      await store.createUpload(`${scope}/b`)
    }
    await sweep(Date.now())
    expect([await contentOf(`${organizationId}/a`), await contentOf(`${gone}/a`)]).toEqual(['a', 'nothing'])
    const uploads = await database.sql`select key from object_uploads where key like '%/b'`
    expect(uploads).toEqual([{ key: `${organizationId}/b` }])
    await expectBooksBalanced()
  })
})
