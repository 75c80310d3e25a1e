import type { Readable } from 'node:stream'

/** The most objects and common prefixes of one page of a list. */
export const MAX_LISTED_OBJECTS = 1_000

/** The most parts of one upload, as in S3. */
export const MAX_PARTS = 10_000
/** The smallest size of any part but the last, as in S3. */
export const MIN_PART_BYTES = 5 * 1024 ** 2

/** The data of an object besides its bytes. */
export interface ObjectFacts {
  readonly key: string
  /** The size in bytes. */
  readonly size: number
  /** The etag without quotes; it changes with the bytes. */
  readonly etag: string
  readonly modifiedAt: Date
}

export interface ObjectHead extends ObjectFacts {
  readonly contentType: string
}

/** The bytes of an object from `start` to `end`, both included. */
export interface ByteSpan {
  readonly start: number
  readonly end: number
}

export interface PutOptions {
  /** The length of the body, when it is known: a body of another length is refused. */
  size?: number
  contentType?: string
}

/** A part of an upload. */
export interface PartTarget {
  uploadId: string
  key: string
  /** From 1 to MAX_PARTS. */
  number: number
}

/** A part that the completed object shall have. */
export interface NamedPart {
  number: number
  etag: string
}

export interface ListOptions {
  /** Lists only keys that begin with it. */
  prefix: string
  /** Keys with this text behind the prefix are listed as one common prefix, which ends with it. */
  delimiter?: string
  /** The `nextCursor` of the page before. */
  cursor?: string
  /** The most keys and common prefixes together, 1 to MAX_LISTED_OBJECTS. */
  limit: number
}

export interface ObjectPage {
  /** In the order of their keys' UTF-8 bytes. */
  readonly objects: readonly ObjectFacts[]
  readonly commonPrefixes: readonly string[]
  readonly nextCursor: string | undefined
}

/**
 * Stores bytes by key, in the data folder or in S3. A key is `<scope>/<rest>`, where the scope is mostly an
 * organization's id. Every call throws INVALID_OBJECT_KEY as `checkObjectKey` does.
 */
export interface ObjectStore {
  /** Reads `body` to its end. The object is complete when this resolves, and unchanged when it throws. */
  put(key: string, body: Readable, options?: PutOptions): Promise<ObjectFacts>
  /** Undefined when there is no such object. */
  head(key: string): Promise<ObjectHead | undefined>
  /** Returns the whole object, or `span` of it, which must lie within. The caller reads the body or destroys it. */
  get(key: string, span?: ByteSpan): Promise<{ head: ObjectHead; body: Readable } | undefined>
  list(options: ListOptions): Promise<ObjectPage>
  /** Does nothing when there is no such object. */
  delete(key: string): Promise<void>

  /** Begins an upload in parts and returns its id. The upload survives a crash of the process that makes it. */
  createUpload(key: string, options?: Pick<PutOptions, 'contentType'>): Promise<string>
  /**
   * Stores a part in place of the one with its number and returns its etag. A body of another length than `size`, where
   * that is given, is refused. Throws OBJECT_UPLOAD_NOT_FOUND.
   */
  putPart(target: PartTarget, body: Readable, options?: Pick<PutOptions, 'size'>): Promise<string>
  /**
   * Makes one object of the parts, atomically. Throws OBJECT_UPLOAD_NOT_FOUND, and OBJECT_PART_INVALID for parts that
   * are not the stored ones, not in order, or too small.
   */
  completeUpload(uploadId: string, key: string, parts: readonly NamedPart[]): Promise<ObjectFacts>
  /** Ends every upload to this key and removes its parts; does nothing when there is none. */
  abortUploads(key: string): Promise<void>
}
