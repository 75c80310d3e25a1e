import type { Readable } from 'node:stream'
import { Readable as NodeReadable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { AppError } from '@atoll/protocol'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  NoSuchKey,
  NotFound,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import type { S3Config, S3Secrets } from '../config.ts'
import { checkObjectKey } from './object-key.ts'
import type {
  ByteSpan,
  ListOptions,
  NamedPart,
  ObjectFacts,
  ObjectHead,
  ObjectPage,
  ObjectStore,
  PartTarget,
  PutOptions,
} from './object-store.ts'

/** The bytes of one part of a body; with MAX_PARALLEL_PARTS it bounds the memory of a put. */
const PART_BYTES = 8 * 1024 ** 2
const MAX_PARALLEL_PARTS = 2
const CONNECT_TIMEOUT_MS = 5_000
/** The longest time without an answer or a byte. */
const IDLE_TIMEOUT_MS = 60_000

export interface S3ObjectsOptions {
  config: Pick<S3Config, 'bucket' | 'endpoint' | 'region'>
  secrets: S3Secrets & { sessionToken?: string }
}

/** An object store in an S3 bucket. The caller disposes it. */
export interface S3Objects extends ObjectStore, Disposable {}

export function createS3Objects(options: S3ObjectsOptions): S3Objects {
  return new BucketObjects(options)
}

class BucketObjects implements S3Objects {
  private readonly client: S3Client
  private readonly bucket: string

  constructor({ config, secrets }: S3ObjectsOptions) {
    const { bucket, endpoint, region } = config
    this.bucket = bucket
    this.client = new S3Client({
      region,
      credentials: secrets,
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
      // Only AWS's own S3 is sure to know the newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: IDLE_TIMEOUT_MS },
    })
  }

  async put(key: string, body: Readable, options: PutOptions = {}): Promise<ObjectFacts> {
    checkObjectKey(key)
    const { contentType, size } = options
    const upload = new Upload({
      client: this.client,
      partSize: PART_BYTES,
      queueSize: MAX_PARALLEL_PARTS,
      params: {
        ...{ Bucket: this.bucket, Key: key, Body: NodeReadable.from(measured(body, size), { objectMode: false }) },
        ...(contentType === undefined ? {} : { ContentType: contentType }),
      },
    })
    await upload.done()
    const head = await this.head(key)
    if (head === undefined) throw new Error('the object that was just put is not there')
    return head
  }

  async head(key: string): Promise<ObjectHead | undefined> {
    checkObjectKey(key)
    try {
      return toHead(key, await this.client.send(new HeadObjectCommand({ Bucket: this.bucket, Key: key })))
    } catch (error) {
      if (error instanceof NotFound) return undefined
      throw error
    }
  }

  async get(key: string, span?: ByteSpan): Promise<{ head: ObjectHead; body: Readable } | undefined> {
    checkObjectKey(key)
    const range = span === undefined ? {} : { Range: `bytes=${span.start}-${span.end}` }
    try {
      const answer = await this.client.send(new GetObjectCommand({ Bucket: this.bucket, Key: key, ...range }))
      if (!(answer.Body instanceof NodeReadable)) throw new Error('the object came without a body')
      return { head: toHead(key, answer), body: answer.Body }
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  async list({ prefix, delimiter, cursor, limit }: ListOptions): Promise<ObjectPage> {
    const answer = await this.client.send(
      new ListObjectsV2Command({
        ...{ Bucket: this.bucket, Prefix: prefix, MaxKeys: limit },
        ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
        ...(cursor === undefined ? {} : { ContinuationToken: cursor }),
      }),
    )
    return {
      objects: (answer.Contents ?? []).map(({ Key = '', Size, ETag, LastModified }) =>
        toFacts(Key, { ContentLength: Size, ETag, LastModified }),
      ),
      commonPrefixes: (answer.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix),
      nextCursor: answer.IsTruncated === true ? answer.NextContinuationToken : undefined,
    }
  }

  async delete(key: string): Promise<void> {
    checkObjectKey(key)
    await this.client.send(new DeleteObjectCommand({ Bucket: this.bucket, Key: key }))
  }

  async createUpload(key: string, { contentType }: Pick<PutOptions, 'contentType'> = {}): Promise<string> {
    checkObjectKey(key)
    const type = contentType === undefined ? {} : { ContentType: contentType }
    const answer = await this.client.send(new CreateMultipartUploadCommand({ Bucket: this.bucket, Key: key, ...type }))
    if (answer.UploadId === undefined) throw new Error('the upload that was begun has no id')
    return answer.UploadId
  }

  /** Holds the part in memory, because it is signed, and sent again after a broken connection. */
  async putPart({ uploadId, key, number }: PartTarget, body: Readable, { size }: Pick<PutOptions, 'size'> = {}) {
    checkObjectKey(key)
    const content = await buffer(measured(body, size))
    const place = { Bucket: this.bucket, Key: key, UploadId: uploadId, PartNumber: number }
    const { ETag = '' } = await this.client.send(new UploadPartCommand({ ...place, Body: content })).catch(refuse)
    return unquoted(ETag)
  }

  async completeUpload(uploadId: string, key: string, parts: readonly NamedPart[]): Promise<ObjectFacts> {
    checkObjectKey(key)
    if (parts.length === 0) throw new AppError('OBJECT_PART_INVALID', 'The upload names no part')
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: `"${etag}"` }))
    const call = { Bucket: this.bucket, Key: key, UploadId: uploadId, MultipartUpload: { Parts } }
    await this.client.send(new CompleteMultipartUploadCommand(call)).catch(refuse)
    const head = await this.head(key)
    if (head === undefined) throw new Error('the object that was just put is not there')
    return head
  }

  async abortUploads(key: string): Promise<void> {
    checkObjectKey(key)
    const { Uploads = [] } = await this.client.send(
      new ListMultipartUploadsCommand({ Bucket: this.bucket, Prefix: key }),
    )
    for (const { Key, UploadId } of Uploads) {
      if (Key !== key) continue
      const call = new AbortMultipartUploadCommand({ Bucket: this.bucket, Key, UploadId })
      await this.client.send(call).catch((error: unknown) => {
        // Another caller has aborted or completed it meanwhile.
        if (!(error instanceof S3ServiceException && error.name === 'NoSuchUpload')) throw error
      })
    }
  }

  [Symbol.dispose](): void {
    this.client.destroy()
  }
}

/** Yields the body; throws when its length is not the announced one, before the object exists. */
async function* measured(body: Readable, size: number | undefined): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    yield chunk
  }
  if (size !== undefined && bytes !== size) {
    throw new AppError('BAD_REQUEST', `The body is ${bytes} bytes long, not ${size} as announced`)
  }
}

const PART_ERRORS: ReadonlySet<string> = new Set(['InvalidPart', 'InvalidPartOrder', 'EntityTooSmall'])

/** Translates S3's errors about uploads to those of the interface. */
function refuse(error: unknown): never {
  if (error instanceof S3ServiceException && error.name === 'NoSuchUpload') {
    throw new AppError('OBJECT_UPLOAD_NOT_FOUND', 'There is no such multipart upload', { cause: error })
  }
  if (error instanceof S3ServiceException && PART_ERRORS.has(error.name)) {
    throw new AppError('OBJECT_PART_INVALID', error.message, { cause: error })
  }
  throw error
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', '')
}

interface Answer {
  ContentLength?: number | undefined
  ContentRange?: string | undefined
  ContentType?: string | undefined
  ETag?: string | undefined
  LastModified?: Date | undefined
}

function toFacts(key: string, answer: Answer): ObjectFacts {
  // In the answer to a range, `ContentRange` holds the size of the whole object.
  const whole = /\/(\d+)$/.exec(answer.ContentRange ?? '')?.[1]
  return {
    key,
    size: whole === undefined ? (answer.ContentLength ?? 0) : Number(whole),
    etag: unquoted(answer.ETag ?? ''),
    modifiedAt: answer.LastModified ?? new Date(0),
  }
}

function toHead(key: string, answer: Answer): ObjectHead {
  return { ...toFacts(key, answer), contentType: answer.ContentType ?? 'application/octet-stream' }
}
