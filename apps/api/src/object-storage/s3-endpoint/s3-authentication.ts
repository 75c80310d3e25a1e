import type { FastifyRequest } from 'fastify'
import type { ClaimedSignature, RequestSigner } from './request-signature.ts'
import { createRequestSigner, readClaim } from './request-signature.ts'
import { S3Error } from './s3-error.ts'
import type { SessionCredentialsMint } from './session-credentials.ts'

/** The caller, proven by the signature of the request. */
export interface S3Caller {
  readonly organizationId: string
  readonly claim: ClaimedSignature
  readonly signer: RequestSigner
}

export interface S3AuthenticationOptions {
  credentials: SessionCredentialsMint
  /** The URL by which clients reach the public port, when not directly. */
  publicUrl: string | undefined
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Checks the signature of a request: over the host and path it arrived with, or over those of the public URL, which a
 * proxy in front may have changed. Throws the errors of `readClaim` and of the credentials, and SignatureDoesNotMatch.
 */
export function createS3Authentication({ credentials, publicUrl, now }: S3AuthenticationOptions) {
  const outside = publicUrl === undefined ? undefined : new URL(publicUrl)
  return ({ raw }: FastifyRequest): S3Caller => {
    const { method = '', url = '', headers } = raw
    const claim = readClaim({ method, url, headers }, now())
    const { organizationId, secret } = credentials.open(claim.accessKey, headers['x-amz-security-token']?.toString())
    const signer = createRequestSigner(claim, secret)
    const asSent = [{ method, url, headers }]
    if (outside !== undefined) {
      const seenOutside = { ...headers, host: outside.host }
      const path = outside.pathname.replace(/\/$/, '')
      asSent.push({ method, url, headers: seenOutside }, { method, url: path + url, headers: seenOutside })
    }
    if (asSent.some((request) => signer.isSignatureOf(request))) return { organizationId, claim, signer }
    throw new S3Error(
      'SignatureDoesNotMatch',
      'The signature is not that of this request. A proxy in front must pass on the Host header, or ATOLL_PUBLIC_URL must say what clients call',
    )
  }
}
