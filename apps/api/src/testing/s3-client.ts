import { createHash, createHmac } from 'node:crypto'
import type { StorageAccess } from '@atoll/protocol'
import { SignatureV4 } from '@smithy/signature-v4'

/** SHA-256 as the signer wants it. */
class Sha256 {
  private readonly hash

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.hash = secret === undefined ? createHash('sha256') : createHmac('sha256', toBuffer(secret))
  }

  update(data: Uint8Array): void {
    this.hash.update(data)
  }

  reset(): void {
    throw new Error('not needed')
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.hash.digest())
  }
}

function toBuffer(data: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof data === 'string') return Buffer.from(data)
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data)
}

export type S3Credentials = Pick<StorageAccess, 'accessKey' | 'secret'> & { sessionToken?: string }

export interface S3Request {
  method?: string
  /** Below the endpoint, already encoded: `/atoll/key`. */
  path: string
  query?: Record<string, string>
  headers?: Record<string, string>
  body?: string | Buffer
  /** The digest to send instead of the body's own. */
  payloadHash?: string
  signedAt?: Date
  /** The URL to sign in place of the endpoint. */
  signedFor?: string
}

/** Returns the signer of AWS's own client, which shares no code with Atoll's. */
export function createAwsSigner({ accessKey, secret, sessionToken }: S3Credentials, region = 'us-east-1'): SignatureV4 {
  return new SignatureV4({
    service: 's3',
    region,
    uriEscapePath: false,
    applyChecksum: false,
    sha256: Sha256,
    credentials: {
      accessKeyId: accessKey,
      secretAccessKey: secret,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
  })
}

/** Returns the signed headers of a request. */
export async function signS3(endpoint: string, credentials: S3Credentials, request: S3Request) {
  const { method = 'GET', path, query = {}, headers = {}, body = '', signedAt = new Date() } = request
  const url = new URL(request.signedFor ?? endpoint)
  const payloadHash = request.payloadHash ?? createHash('sha256').update(body).digest('hex')
  const signed = await createAwsSigner(credentials).sign(
    {
      ...{ method, protocol: url.protocol, hostname: url.hostname, path: url.pathname + path, query },
      headers: { ...headers, host: url.host, 'x-amz-content-sha256': payloadHash },
    },
    { signingDate: signedAt },
  )
  return signed.headers
}

/** Sends a signed request; the answer is not read. */
export async function fetchS3(endpoint: string, credentials: S3Credentials, request: S3Request): Promise<Response> {
  const { method = 'GET', path, query = {}, body } = request
  const { host: _, ...headers } = await signS3(endpoint, credentials, request)
  const search = new URLSearchParams(query).toString()
  return await fetch(endpoint + path + (search === '' ? '' : `?${search}`), {
    method,
    headers,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
  })
}

/** Returns the `Code` of an error of S3, or the status where there is none. */
export async function s3Code(response: Response): Promise<string> {
  const text = await response.text()
  return /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? String(response.status)
}
