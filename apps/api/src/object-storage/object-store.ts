import type { Readable } from 'node:stream'

/** Objects and pages of a list at most. */
export const MAX_LISTED_OBJECTS = 1_000

/** Parts of one upload, as in S3. */
export const MAX_PARTS = 10_000
/** Smallest part of an upload but the last, as in S3. */
export const MIN_PART_BYTES = 5 * 1024 ** 2

/** What is kept of an object beside its bytes. */
export interface ObjectFacts {
  readonly key: string
  /** Bytes. */
  readonly size: number
  /** Without quotes; changes with the bytes. */
  readonly etag: string
  readonly modifiedAt: Date
}

export interface ObjectHead extends ObjectFacts {
  readonly contentType: string
}

/** Bytes of an object from `start` to `end`, both included. */
export interface ByteSpan {
  readonly start: number
  readonly end: number
}

export interface PutOptions {
  /** Bytes that will come, when that is known: a body of another length is refused. */
  size?: number
  contentType?: string
}

/** A part of an upload. */
export interface PartTarget {
  uploadId: string
  key: string
  /** 1 to MAX_PARTS. */
  number: number
}

/** A part that a completed upload shall have. */
export interface NamedPart {
  number: number
  etag: string
}

export interface ListOptions {
  /** Only keys that begin with it. */
  prefix: string
  /** Keys with it behind the prefix are one common prefix, up to it. */
  delimiter?: string
  /** The `nextCursor` of the page before. */
  cursor?: string
  /** Keys and common prefixes together, 1 to MAX_LISTED_OBJECTS. */
  limit: number
}

export interface ObjectPage {
  /** In the order of their keys' UTF-8 bytes. */
  readonly objects: readonly ObjectFacts[]
  readonly commonPrefixes: readonly string[]
  readonly nextCursor: string | undefined
}

/**
 * Named bytes, in the data folder or in S3. A key is `<scope>/<rest>`, where the scope is mostly an organization's id:
 * see `checkObjectKey`, whose INVALID_OBJECT_KEY every call throws.
 */
export interface ObjectStore {
  /** Reads `body` to its end; the object is there whole when this resolves, or as it was before when it throws. */
  put(key: string, body: Readable, options?: PutOptions): Promise<ObjectFacts>
  /** Undefined when there is none. */
  head(key: string): Promise<ObjectHead | undefined>
  /** The whole object, or `span` of it, which must lie within. The caller reads the body or destroys it. */
  get(key: string, span?: ByteSpan): Promise<{ head: ObjectHead; body: Readable } | undefined>
  list(options: ListOptions): Promise<ObjectPage>
  /** Does nothing when there is none. */
  delete(key: string): Promise<void>

  /** Begins an upload in parts, which no crash of whoever makes it ends; answers its id. */
  createUpload(key: string, options?: Pick<PutOptions, 'contentType'>): Promise<string>
  /**
   * Stores a part in place of what had its number; answers its etag. A body of another length than `size`, where that is
   * given, is refused. Throws OBJECT_UPLOAD_NOT_FOUND.
   */
  putPart(target: PartTarget, body: Readable, options?: Pick<PutOptions, 'size'>): Promise<string>
  /**
   * Makes one object of the parts, at once. Throws OBJECT_UPLOAD_NOT_FOUND, and OBJECT_PART_INVALID for parts that are not
   * those that were put, not in order, or too small.
   */
  completeUpload(uploadId: string, key: string, parts: readonly NamedPart[]): Promise<ObjectFacts>
  /** Ends every upload to this key, with its parts; does nothing when there is none. */
  abortUploads(key: string): Promise<void>
}
