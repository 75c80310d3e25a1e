import type { Hash } from 'node:crypto'
import { createHash } from 'node:crypto'
import { Crc32, Crc32c, Crc64Nvme } from '@aws-sdk/checksums/crc'
import { S3Error } from './s3-error.ts'

/** A digest that is computed while a body arrives. */
interface Digest {
  update(chunk: Uint8Array): void
  digest(): Promise<Uint8Array>
}

const digests: Readonly<Record<string, () => Digest>> = {
  'x-amz-checksum-crc32': () => new Crc32(),
  'x-amz-checksum-crc32c': () => new Crc32c(),
  'x-amz-checksum-crc64nvme': () => new Crc64Nvme(),
  'x-amz-checksum-sha1': () => fromHash(createHash('sha1')),
  'x-amz-checksum-sha256': () => fromHash(createHash('sha256')),
  'content-md5': () => fromHash(createHash('md5')),
}

function fromHash(hash: Hash): Digest {
  return { update: (chunk) => void hash.update(chunk), digest: async () => hash.digest() }
}

/** Whether a header or trailer with this name (in lower case) is a checksum of the body. */
export function isChecksum(name: string): boolean {
  return Object.hasOwn(digests, name)
}

const SHA256_HEX = /^[0-9a-f]{64}$/

/** Checks a body against the checksums in its headers and trailers. */
export interface BodyChecksums {
  update(chunk: Uint8Array): void
  /** Throws BadDigest and XAmzContentSHA256Mismatch. `trailers` holds the values of the announced names. */
  verify(trailers: ReadonlyMap<string, string>): Promise<void>
}

export interface ExpectedChecksums {
  /** Base64 by name, as in the headers. */
  values: ReadonlyMap<string, string>
  /** The names of checksums that come after the body. */
  trailing: readonly string[]
  /** The value of `x-amz-content-sha256`, when it is a digest. */
  payloadHash: string
}

/** Throws InvalidRequest for an unknown checksum, which could not be checked. */
export function createBodyChecksums({ values, trailing, payloadHash }: ExpectedChecksums): BodyChecksums {
  const names = [...new Set([...values.keys(), ...trailing])]
  const growing = names.map((name) => {
    const create = Object.hasOwn(digests, name) ? digests[name] : undefined
    if (create === undefined) throw new S3Error('InvalidRequest', `The checksum ${name} is not known here`)
    return { name, digest: create() }
  })
  const sha256 = SHA256_HEX.test(payloadHash) ? createHash('sha256') : undefined
  return {
    update(chunk) {
      sha256?.update(chunk)
      for (const { digest } of growing) digest.update(chunk)
    },
    async verify(trailers) {
      if (sha256 !== undefined && sha256.digest('hex') !== payloadHash) {
        throw new S3Error('XAmzContentSHA256Mismatch', 'The body is not what x-amz-content-sha256 says')
      }
      for (const { name, digest } of growing) {
        const actual = Buffer.from(await digest.digest()).toString('base64')
        if ((values.get(name) ?? trailers.get(name)) !== actual) {
          throw new S3Error('BadDigest', `The body is not what ${name} says`)
        }
      }
    },
  }
}
