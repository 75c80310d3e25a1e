import { createHash, randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Database, Queryable } from '../database/database.ts'
import type { Reservation, ScopeQuota } from './object-files-store.ts'
import { objectFilesStore } from './object-files-store.ts'
import type { ObjectFolder, WrittenFile } from './object-folder.ts'
import { checkObjectKey, scopeOf } from './object-key.ts'
import type { LocalListOptions } from './object-listing.ts'
import { listObjects } from './object-listing.ts'
import type {
  ByteSpan,
  NamedPart,
  ObjectFacts,
  ObjectHead,
  ObjectPage,
  ObjectStore,
  PartTarget,
  PutOptions,
} from './object-store.ts'
import { MIN_PART_BYTES } from './object-store.ts'
import { MAX_UPLOADS, objectUploadStore } from './object-upload-store.ts'
import { storedObjectStore } from './stored-object-store.ts'
import type { ObjectFile, ObjectUploadPartRow, StoredObjectRow } from './stored-object-table.ts'

/** The longest body of one call, as in S3. */
const MAX_PUT_BYTES = 5 * 1024 ** 3
const DEFAULT_CONTENT_TYPE = 'application/octet-stream'
/** The number of reads that may start over because the object was replaced meanwhile. */
const MAX_READ_ATTEMPTS = 5

export interface LocalPutOptions extends PutOptions {
  /** Header fields of the answer to a read, by their names in lower case. */
  headers?: Record<string, string>
  /** The quota that the scope must stay within. */
  quota?: ScopeQuota
  /** Throws OBJECT_EXISTS when there is already an object with this key. */
  ifAbsent?: boolean
}

export interface LocalObjectHead extends ObjectHead {
  readonly headers: Readonly<Record<string, string>>
}

/** An object store whose files are in the data folder and whose index is in PostgreSQL. */
export interface LocalObjectStore extends ObjectStore {
  /** Throws OBJECT_TOO_LARGE, OBJECT_QUOTA_EXCEEDED, OBJECT_EXISTS, and BAD_REQUEST for a body of another length. */
  put(key: string, body: Readable, options?: LocalPutOptions): Promise<ObjectFacts>
  head(key: string): Promise<LocalObjectHead | undefined>
  get(key: string, span?: ByteSpan): Promise<{ head: LocalObjectHead; body: Readable } | undefined>
  list(options: LocalListOptions): Promise<ObjectPage>
  createUpload(key: string, options?: Pick<LocalPutOptions, 'contentType' | 'headers'>): Promise<string>
  /** Throws the errors of `put`, too. */
  putPart(target: PartTarget, body: Readable, options?: Pick<LocalPutOptions, 'size' | 'quota'>): Promise<string>
  /** Lists the uploads below a prefix that are under way, at most MAX_UPLOADS. */
  listUploads(prefix: string): Promise<{ id: string; key: string }[]>
  /** Throws OBJECT_UPLOAD_NOT_FOUND. */
  abortUpload(uploadId: string, key: string): Promise<void>
  /** Removes files that nothing needs any more. */
  removeFiles(names: readonly string[]): Promise<void>
}

interface StoreOptions extends Pick<LocalPutOptions, 'size' | 'quota'> {
  scope: string
  /** Throws when the body should be refused before it is read. */
  check?: (tx: Queryable) => Promise<unknown>
}

export interface LocalObjectStoreOptions {
  database: Pick<Database, 'db' | 'transaction'>
  folder: ObjectFolder
  log: Logger
}

export function createLocalObjectStore(options: LocalObjectStoreOptions): LocalObjectStore {
  return new LocalObjects(options)
}

class LocalObjects implements LocalObjectStore {
  private readonly options: LocalObjectStoreOptions

  constructor(options: LocalObjectStoreOptions) {
    this.options = options
  }

  async put(key: string, body: Readable, options: LocalPutOptions = {}): Promise<ObjectFacts> {
    checkObjectKey(key)
    const { contentType = DEFAULT_CONTENT_TYPE, headers = {}, ifAbsent = false } = options
    return await this.store(body, { ...options, scope: scopeOf(key) }, async (tx, { name, bytes, md5 }) => {
      const object = { key, size: bytes, etag: md5, contentType, headers, files: [{ name, bytes }] }
      const replaced = await storedObjectStore.replace(tx, object, ifAbsent)
      if (replaced === undefined) throw new AppError('OBJECT_EXISTS', 'There is an object of this key')
      return { result: factsOf(replaced.row), released: replaced.released }
    })
  }

  async head(key: string): Promise<LocalObjectHead | undefined> {
    checkObjectKey(key)
    const row = await storedObjectStore.find(this.options.database.db, key)
    return row && headOf(row)
  }

  async get(key: string, span?: ByteSpan) {
    checkObjectKey(key)
    for (let attempt = 1; attempt <= MAX_READ_ATTEMPTS; attempt++) {
      const row = await storedObjectStore.find(this.options.database.db, key)
      if (row === undefined) return undefined
      const body = await this.options.folder.read(row.files, span ?? { start: 0, end: row.size - 1 })
      if (body !== undefined) return { head: headOf(row), body }
    }
    throw new AppError(
      'OBJECT_UNREADABLE',
      'The object is not in the data folder of this server. Several API processes need one data folder, or S3',
    )
  }

  async list(options: LocalListOptions): Promise<ObjectPage> {
    return await listObjects(this.options.database.db, options)
  }

  async delete(key: string): Promise<void> {
    checkObjectKey(key)
    await this.removeFiles(await this.options.database.transaction((tx) => storedObjectStore.delete(tx, key)))
  }

  async createUpload(key: string, options: Pick<LocalPutOptions, 'contentType' | 'headers'> = {}): Promise<string> {
    checkObjectKey(key)
    const { contentType = DEFAULT_CONTENT_TYPE, headers = {} } = options
    return await this.options.database.transaction((tx) => objectUploadStore.insert(tx, { key, contentType, headers }))
  }

  async putPart(target: PartTarget, body: Readable, options: Pick<LocalPutOptions, 'size' | 'quota'> = {}) {
    const { uploadId, key, number } = target
    checkObjectKey(key)
    const check = (tx: Queryable) => objectUploadStore.check(tx, uploadId, key)
    return await this.store(body, { ...options, scope: scopeOf(key), check }, async (tx, { name, bytes, md5 }) => {
      await objectUploadStore.lock(tx, uploadId, key)
      const released = await objectUploadStore.putPart(tx, { uploadId, number, file: name, bytes, etag: md5 })
      return { result: md5, released }
    })
  }

  async completeUpload(uploadId: string, key: string, parts: readonly NamedPart[]): Promise<ObjectFacts> {
    const { result, released } = await this.options.database.transaction(async (tx) => {
      const { contentType, headers } = await objectUploadStore.lock(tx, uploadId, key)
      const chosen = choose(parts, await objectUploadStore.listParts(tx, uploadId))
      const files = chosen.map(({ file, bytes }): ObjectFile => ({ name: file, bytes }))
      const size = chosen.reduce((sum, { bytes }) => sum + bytes, 0)
      const object = { key, size, etag: etagOf(chosen), contentType, headers, files }
      const unused = await objectUploadStore.delete(tx, uploadId, new Set(files.map(({ name }) => name)))
      const replaced = await storedObjectStore.replace(tx, object, false)
      if (replaced === undefined) throw new Error('the object was not stored')
      return { result: factsOf(replaced.row), released: [...unused, ...replaced.released] }
    })
    await this.removeFiles(released)
    return result
  }

  async abortUpload(uploadId: string, key: string): Promise<void> {
    const released = await this.options.database.transaction(async (tx) => {
      await objectUploadStore.lock(tx, uploadId, key)
      return await objectUploadStore.delete(tx, uploadId, new Set())
    })
    await this.removeFiles(released)
  }

  async listUploads(prefix: string) {
    return await objectUploadStore.list(this.options.database.db, prefix, MAX_UPLOADS)
  }

  async abortUploads(key: string): Promise<void> {
    checkObjectKey(key)
    for (const id of await objectUploadStore.findOf(this.options.database.db, key)) {
      await this.abortUpload(id, key).catch((error: unknown) => {
        // Another caller has aborted or completed it meanwhile.
        if (!(error instanceof AppError && error.code === 'OBJECT_UPLOAD_NOT_FOUND')) throw error
      })
    }
  }

  /** A file that cannot be removed here is removed later by the sweep. */
  async removeFiles(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    try {
      for (const name of names) await this.options.folder.remove(name)
      await this.options.database.transaction((tx) => objectFilesStore.forget(tx, names))
    } catch (error) {
      this.options.log.warn({ err: error, files: names.length }, 'cannot remove files of objects; the sweep will')
    }
  }

  /** Writes a file, then runs `commit` in the transaction that counts the file; `commit` adds it to an object or an upload. */
  private async store<Result>(
    body: Readable,
    { scope, size, quota, check }: StoreOptions,
    commit: (tx: Queryable, file: WrittenFile & { name: string }) => Promise<{ result: Result; released: string[] }>,
  ): Promise<Result> {
    const { database, folder } = this.options
    const reservation: Reservation = { name: randomUUID(), scope, bytes: size ?? 0, quota }
    const { name } = reservation
    try {
      if (size !== undefined && size > MAX_PUT_BYTES) throw tooLarge()
      await database.transaction(async (tx) => {
        await check?.(tx)
        await objectFilesStore.reserve(tx, reservation)
      })
    } catch (error) {
      body.destroy()
      throw error
    }
    try {
      const written = await folder.write(name, body, size ?? MAX_PUT_BYTES)
      if (size !== undefined && written.bytes !== size) {
        throw new AppError('BAD_REQUEST', `The body is ${written.bytes} bytes long, not ${size} as announced`)
      }
      const { result, released } = await database.transaction(async (tx) => {
        await objectFilesStore.hold(tx, reservation, written.bytes)
        return await commit(tx, { name, ...written })
      })
      await this.removeFiles(released)
      return result
    } catch (error) {
      await this.removeFiles([name])
      throw error
    }
  }
}

function tooLarge(): AppError {
  return new AppError('OBJECT_TOO_LARGE', `At most ${MAX_PUT_BYTES} bytes may come at once`)
}

/** Returns the stored parts that are named. Throws OBJECT_PART_INVALID when a part is unknown, out of order or too small. */
function choose(named: readonly NamedPart[], stored: readonly ObjectUploadPartRow[]): ObjectUploadPartRow[] {
  if (named.length === 0) throw new AppError('OBJECT_PART_INVALID', 'The upload names no part')
  const byNumber = new Map(stored.map((part) => [part.number, part]))
  let last = 0
  return named.map(({ number, etag }, index) => {
    const part = byNumber.get(number)
    if (number <= last) throw new AppError('OBJECT_PART_INVALID', 'The parts are not named in ascending order')
    if (part === undefined || part.etag !== etag) {
      throw new AppError('OBJECT_PART_INVALID', `Part ${number} was not uploaded, or is another`)
    }
    if (part.bytes < MIN_PART_BYTES && index < named.length - 1) {
      throw new AppError(
        'OBJECT_PART_INVALID',
        `Part ${number} is smaller than ${MIN_PART_BYTES} bytes and not the last`,
      )
    }
    last = number
    return part
  })
}

/** Makes an etag as S3 does: a digest of the parts' digests, and the number of parts. */
function etagOf(parts: readonly ObjectUploadPartRow[]): string {
  const hash = createHash('md5')
  for (const { etag } of parts) hash.update(Buffer.from(etag, 'hex'))
  return `${hash.digest('hex')}-${parts.length}`
}

function factsOf({ key, size, etag, modifiedAt }: StoredObjectRow): ObjectFacts {
  return { key, size, etag, modifiedAt }
}

function headOf(row: StoredObjectRow): LocalObjectHead {
  return { ...factsOf(row), contentType: row.contentType, headers: row.headers }
}
