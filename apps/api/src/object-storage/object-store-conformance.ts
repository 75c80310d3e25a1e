import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import type { ObjectPage, ObjectStore } from './object-store.ts'
import { MIN_PART_BYTES } from './object-store.ts'

export interface ConformanceSubject {
  readonly store: ObjectStore
  /** Returns an empty scope. */
  newScope(): Promise<string>
}

/** Describes the behaviour that all object stores share. `subject` is called when a test runs. */
export function describeObjectStore(subject: () => ConformanceSubject): void {
  itGivesBack(subject)
  itReplacesWhole(subject)
  itKeepsKeysApart(subject)
  itLists(subject)
  itTakesParts(subject)
}

async function put({ store }: ConformanceSubject, key: string, content: string) {
  return await store.put(key, Readable.from([Buffer.from(content)]))
}

async function read({ store }: ConformanceSubject, key: string) {
  const opened = await store.get(key)
  return opened && (await buffer(opened.body))
}

function itGivesBack(subject: () => ConformanceSubject): void {
  it.each([0, 1, 65_536, 3_000_000])('gives back %i bytes as they were put', async (bytes) => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/a/b.tar`
    const content = randomBytes(bytes)
    const before = Date.now()
    const facts = await store.put(key, Readable.from([content]), { size: bytes, contentType: 'application/x-tar' })
    expect(facts).toMatchObject({ key, size: bytes, etag: createHash('md5').update(content).digest('hex') })
    expect(Math.abs(facts.modifiedAt.getTime() - before)).toBeLessThan(60_000)
    expect(await store.head(key)).toMatchObject({ ...facts, contentType: 'application/x-tar' })
    const opened = await store.get(key)
    expect(opened?.head).toMatchObject({ size: bytes, etag: facts.etag, contentType: 'application/x-tar' })
    expect(opened && (await buffer(opened.body)).equals(content)).toBe(true)
  })

  it('takes a long body of many small pieces, whose length it was not told', async () => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/long`
    const piece = randomBytes(50_000)
    const hash = createHash('sha256')
    const pieces = Readable.from(
      (function* () {
        for (let index = 0; index < 400; index++) {
          hash.update(piece)
          yield piece
        }
      })(),
      { objectMode: false },
    )
    expect(await store.put(key, pieces)).toMatchObject({ size: 20_000_000 })
    const content = await read(subject(), key)
    expect(content && createHash('sha256').update(content).digest('hex')).toBe(hash.digest('hex'))
    const opened = await store.get(key, { start: 8_388_600, end: 8_388_615 })
    expect(opened?.head.size).toBe(20_000_000)
    expect(opened && (await buffer(opened.body))).toEqual(content?.subarray(8_388_600, 8_388_616))
  })

  it('gives a part of an object', async () => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/digits`
    await put(subject(), key, '0123456789')
    for (const [start, end, expected] of [
      [0, 0, '0'],
      [3, 5, '345'],
      [9, 9, '9'],
      [0, 9, '0123456789'],
    ] as const) {
      const opened = await store.get(key, { start, end })
      expect([opened?.head.size, opened && String(await buffer(opened.body))]).toEqual([10, expected])
    }
  })
}

function itReplacesWhole(subject: () => ConformanceSubject): void {
  it('replaces, deletes, and knows nothing of what is not there', async () => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/x`
    expect([await store.head(key), await store.get(key)]).toEqual([undefined, undefined])
    const { etag } = await put(subject(), key, 'first')
    expect((await put(subject(), key, 'second')).etag).not.toBe(etag)
    expect(String(await read(subject(), key))).toBe('second')
    await store.delete(key)
    expect([await store.head(key), await store.get(key)]).toEqual([undefined, undefined])
    await store.delete(key)
  })

  it('keeps what was there when a body fails, and makes nothing of it', async () => {
    const { store, newScope } = subject()
    const scope = await newScope()
    await put(subject(), `${scope}/kept`, 'before')
    const failing = () =>
      Readable.from(
        (async function* () {
          yield Buffer.alloc(100_000)
          throw new Error('the source failed')
        })(),
      )
    await expect(store.put(`${scope}/kept`, failing())).rejects.toThrow('the source failed')
    await expect(store.put(`${scope}/new`, failing())).rejects.toThrow('the source failed')
    const short = store.put(`${scope}/new`, Readable.from([Buffer.from('abc')]), { size: 4 })
    await expect(short).rejects.toThrow(/3 bytes|4 as announced/)
    expect(String(await read(subject(), `${scope}/kept`))).toBe('before')
    expect(await store.head(`${scope}/new`)).toBeUndefined()
  })
}

function itKeepsKeysApart(subject: () => ConformanceSubject): void {
  it('keeps keys apart, whatever they look like', async () => {
    const { store, newScope } = subject()
    const scope = await newScope()
    const names = [
      ...['..', '.', '../x', '../../../../etc/passwd', 'a/../x', 'x', 'a//x', 'a/x', '/x', '//x', 'x/', 'X', '~', '*'],
      ...['%2e%2e', '..%2fx', '%', '%zz', 'a b', 'a+b', 'a?b', 'a#b', 'a&b=c', 'a\\b', 'C:\\x', '"q"', "'", '<x>&amp;'],
      ...['é', 'e\u0301', '漢字', '🙂', '\u{10ffff}', 'x'.repeat(300), 'ü'.repeat((1_024 - scope.length - 1) / 2 - 1)],
    ]
    for (const name of names) await put(subject(), `${scope}/${name}`, name)
    for (const name of names) expect(String(await read(subject(), `${scope}/${name}`))).toBe(name)
    const { objects } = await store.list({ prefix: `${scope}/`, limit: 1_000 })
    expect(objects.map(({ key }) => key)).toEqual(names.map((name) => `${scope}/${name}`).sort(byBytes))
    for (const name of names) await store.delete(`${scope}/${name}`)
    expect((await store.list({ prefix: `${scope}/`, limit: 1_000 })).objects).toEqual([])
  })

  it.each(['', 'x', '/', '/x', 'scope/'])('refuses %j, which is no scope and name', async (key) => {
    const { store } = subject()
    await expect(put(subject(), key, 'x')).rejects.toMatchObject({ code: 'INVALID_OBJECT_KEY' })
    await expect(store.head(key)).rejects.toMatchObject({ code: 'INVALID_OBJECT_KEY' })
  })

  it.each([
    ['a NUL', 'a\0b'],
    ['a line break', 'a\nb'],
    ['half a surrogate', 'a\ud800'],
    ['more than 1024 bytes', 'ü'.repeat(512)],
  ])('refuses a key with %s', async (_what, name) => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/${name}`
    await expect(put(subject(), key, 'x')).rejects.toMatchObject({ code: 'INVALID_OBJECT_KEY' })
    await expect(store.head(key)).rejects.toMatchObject({ code: 'INVALID_OBJECT_KEY' })
    await expect(store.get(key)).rejects.toMatchObject({ code: 'INVALID_OBJECT_KEY' })
    await expect(store.delete(key)).rejects.toMatchObject({ code: 'INVALID_OBJECT_KEY' })
  })
}

function itLists(subject: () => ConformanceSubject): void {
  it('lists by prefix and delimiter, in the order of bytes, page by page', async () => {
    const { store, newScope } = subject()
    const scope = await newScope()
    // U+FF5E comes before U+1F642 by bytes, and behind it by UTF-16 code units.
    const letter = fc.constantFrom('a', 'b', '/', '-', 'é', '\uff5e', '🙂', '\u{10ffff}')
    const name = fc.array(letter, { minLength: 1, maxLength: 5 }).map((letters) => letters.join(''))
    const names = fc.sample(name, { numRuns: 60, seed: 20_261_127 })
    const keys = [...new Set(names)].map((text) => `${scope}/${text}`).sort(byBytes)
    for (const key of keys) await put(subject(), key, '.')
    const prefixes = ['', 'a', 'a/', 'é', '\uff5e', '🙂', '\u{10ffff}', 'nothing']
    const asked = ['', '/', 'é', '-/'].flatMap((delimiter) =>
      prefixes.flatMap((prefix) => [1, 3, 1_000].map((limit) => ({ prefix: `${scope}/${prefix}`, delimiter, limit }))),
    )
    for (const { prefix, delimiter, limit } of asked) {
      const expected = model(keys, prefix, delimiter)
      const pages = await allPages(store, { prefix, limit, ...(delimiter === '' ? {} : { delimiter }) })
      for (const page of pages) expect(page.objects.length + page.commonPrefixes.length).toBeLessThanOrEqual(limit)
      expect(pages.flatMap(({ objects }) => objects.map(({ key }) => key))).toEqual(expected.keys)
      expect(pages.flatMap(({ commonPrefixes }) => commonPrefixes)).toEqual(expected.prefixes)
    }
  })
}

function itTakesParts(subject: () => ConformanceSubject): void {
  const piece = (content: string | Buffer) => Readable.from([Buffer.from(content)])
  const big = Buffer.alloc(MIN_PART_BYTES, 'big ')

  it('makes one object of parts that came in any order and again, which is not there before', async () => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/parts`
    const uploadId = await store.createUpload(key, { contentType: 'application/x-tar' })
    const last = await store.putPart({ uploadId, key, number: 2 }, piece('end'), { size: 3 })
    await store.putPart({ uploadId, key, number: 1 }, piece('replaced'))
    const first = await store.putPart({ uploadId, key, number: 1 }, piece(big), { size: big.length })
    expect(await store.head(key)).toBeUndefined()
    const parts = [
      { number: 1, etag: first },
      { number: 2, etag: last },
    ]
    expect(await store.completeUpload(uploadId, key, parts)).toMatchObject({ key, size: big.length + 3 })
    expect(await store.head(key)).toMatchObject({ contentType: 'application/x-tar' })
    expect((await read(subject(), key))?.equals(Buffer.concat([big, Buffer.from('end')]))).toBe(true)
    const across = await store.get(key, { start: big.length - 2, end: big.length + 1 })
    expect(across && String(await buffer(across.body))).toBe('g en')
  })

  it('refuses parts that are others or of another length, and knows nothing of an upload that is over', async () => {
    const { store, newScope } = subject()
    const key = `${await newScope()}/parts`
    const uploadId = await store.createUpload(key)
    const etag = await store.putPart({ uploadId, key, number: 1 }, piece('one'))
    await expect(store.putPart({ uploadId, key, number: 2 }, piece('two'), { size: 4 })).rejects.toThrow('3 bytes')
    const invalid = { code: 'OBJECT_PART_INVALID' }
    await expect(store.completeUpload(uploadId, key, [])).rejects.toMatchObject(invalid)
    await expect(store.completeUpload(uploadId, key, [{ number: 2, etag }])).rejects.toMatchObject(invalid)
    await store.completeUpload(uploadId, key, [{ number: 1, etag }])
    const gone = { code: 'OBJECT_UPLOAD_NOT_FOUND' }
    await expect(store.putPart({ uploadId, key, number: 1 }, piece('x'))).rejects.toMatchObject(gone)
    await expect(store.completeUpload(uploadId, key, [{ number: 1, etag }])).rejects.toMatchObject(gone)
  })

  it('ends all uploads to a key, and no other', async () => {
    const { store, newScope } = subject()
    const scope = await newScope()
    const [key, other] = [`${scope}/a`, `${scope}/ab`]
    const begun = [await store.createUpload(key), await store.createUpload(key)]
    const left = await store.createUpload(other)
    await store.abortUploads(key)
    await store.abortUploads(key)
    for (const uploadId of begun) {
      const part = store.putPart({ uploadId, key, number: 1 }, piece('x'))
      await expect(part).rejects.toMatchObject({ code: 'OBJECT_UPLOAD_NOT_FOUND' })
    }
    await store.putPart({ uploadId: left, key: other, number: 1 }, piece('x'))
    await store.abortUploads(other)
  })
}

/** Orders like `Buffer.compare`, which is the order of S3. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function model(keys: readonly string[], prefix: string, delimiter: string) {
  const within = keys.filter((key) => key.startsWith(prefix))
  const commonOf = (key: string) => {
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    return at === -1 ? undefined : key.slice(0, at + delimiter.length)
  }
  const prefixes = [...new Set(within.flatMap((key) => commonOf(key) ?? []))]
  return { keys: within.filter((key) => commonOf(key) === undefined), prefixes }
}

async function allPages(store: ObjectStore, options: { prefix: string; delimiter?: string; limit: number }) {
  const pages: ObjectPage[] = []
  let cursor: string | undefined
  do {
    const page = await store.list({ ...options, ...(cursor === undefined ? {} : { cursor }) })
    pages.push(page)
    cursor = page.nextCursor
  } while (cursor !== undefined)
  return pages
}
