import { S3Error } from './s3-error.ts'

/** The target of a request: the service, the bucket, or an object in it. */
export interface S3Target {
  /** Undefined when the target is the service. */
  readonly bucket: string | undefined
  /** Undefined when the target is the service or the bucket. */
  readonly key: string | undefined
  readonly query: URLSearchParams
}

/** The query parameters that are served, or that do not change the meaning of a request. */
const KNOWN_QUERY = new Set([
  ...['x-id', 'list-type', 'prefix', 'delimiter', 'max-keys', 'continuation-token', 'start-after', 'encoding-type'],
  ...['fetch-owner', 'location', 'uploads', 'uploadId', 'partNumber'],
])

/** Reads a URL below `root`. Throws InvalidRequest, and NotImplemented for parts of S3 that are not served. */
export function readTarget(url: string, root: string): S3Target {
  const at = url.indexOf('?')
  const path = (at === -1 ? url : url.slice(0, at)).slice(root.length).replace(/^\//, '')
  const query = new URLSearchParams(at === -1 ? '' : url.slice(at + 1))
  for (const name of query.keys()) {
    if (!KNOWN_QUERY.has(name)) throw new S3Error('NotImplemented', `The query ${name.slice(0, 64)} is not served here`)
  }
  const slash = path.indexOf('/')
  const bucket = decode(slash === -1 ? path : path.slice(0, slash))
  const key = slash === -1 ? '' : decode(path.slice(slash + 1))
  return { bucket: bucket === '' ? undefined : bucket, key: key === '' ? undefined : key, query }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new S3Error('InvalidRequest', 'The path is not validly encoded', { cause })
  }
}
