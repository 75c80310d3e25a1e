import type { StorageAccess } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { AssumeRoleCommandOutput } from '@aws-sdk/client-sts'
import type { S3Config, S3Secrets } from '../config.ts'
import { LOCAL_BUCKET, LOCAL_REGION, S3_PATH } from './s3-endpoint/s3-path.ts'
import type { SessionCredentialsMint } from './s3-endpoint/session-credentials.ts'
import { SESSION_MS } from './s3-endpoint/session-credentials.ts'

/** The longest wait for an answer of the token service. */
const STS_TIMEOUT_MS = 10_000
const STS_ATTEMPTS = 2

/** Issues credentials for the objects of one organization, valid for an hour. */
export interface PushAccess {
  /** `origin` is the address by which the client reaches this server. Throws OBJECT_STORAGE_UNAVAILABLE and BAD_GATEWAY. */
  issue(organizationId: string, origin: string): Promise<StorageAccess>
}

/** Issues credentials for this server's own S3 endpoint. */
export function createLocalPushAccess(credentials: SessionCredentialsMint): PushAccess {
  return {
    issue: async (organizationId, origin) => ({
      ...credentials.issue(organizationId),
      storageUrl: `${origin}/api${S3_PATH}`,
      organizationId,
      bucket: LOCAL_BUCKET,
      region: LOCAL_REGION,
    }),
  }
}

/** Issues credentials of the configured role, which the token service limits to the one organization by a policy. */
export function createStsPushAccess({ config, secrets }: { config: S3Config; secrets: S3Secrets }): PushAccess {
  const { bucket, region, roleArn } = config
  return {
    async issue(organizationId) {
      if (roleArn === undefined) {
        throw new AppError(
          'OBJECT_STORAGE_UNAVAILABLE',
          'There is no push access to S3: ATOLL_S3_ROLE_ARN must name a role that may read, write and list the bucket, and that the configured account may assume',
        )
      }
      const policy = policyFor(bucket, organizationId)
      const { Credentials: issued } = await assumeRole({ config, secrets, roleArn, policy })
      const { AccessKeyId: accessKey, SecretAccessKey: secret, SessionToken: sessionToken } = issued ?? {}
      if (accessKey === undefined || secret === undefined || sessionToken === undefined) {
        throw new AppError('BAD_GATEWAY', 'The token service of S3 gave no credentials')
      }
      const storageUrl = config.endpoint ?? `https://s3.${region}.amazonaws.com`
      return { accessKey, secret, sessionToken, storageUrl, organizationId, bucket, region }
    },
  }
}

interface RoleRequest {
  config: S3Config
  secrets: S3Secrets
  roleArn: string
  policy: string
}

async function assumeRole({ config, secrets, roleArn, policy }: RoleRequest): Promise<AssumeRoleCommandOutput> {
  const { STSClient, AssumeRoleCommand } = await import('@aws-sdk/client-sts')
  const client = new STSClient({
    region: config.region,
    credentials: secrets,
    maxAttempts: STS_ATTEMPTS,
    requestHandler: { connectionTimeout: STS_TIMEOUT_MS, requestTimeout: STS_TIMEOUT_MS },
    ...(config.stsEndpoint === undefined ? {} : { endpoint: config.stsEndpoint }),
  })
  const command = new AssumeRoleCommand({
    RoleArn: roleArn,
    RoleSessionName: 'atoll-push-access',
    DurationSeconds: SESSION_MS / 1_000,
    Policy: policy,
  })
  try {
    return await client.send(command, { abortSignal: AbortSignal.timeout(STS_TIMEOUT_MS) })
  } catch (cause) {
    throw new AppError('BAD_GATEWAY', 'The token service of S3 refused to give credentials', { cause })
  } finally {
    client.destroy()
  }
}

/** Returns the policy that limits the role to the objects of one organization. */
function policyFor(bucket: string, organizationId: string): string {
  const objects = [
    ...['s3:GetObject', 's3:PutObject', 's3:DeleteObject'],
    ...['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
  ]
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: objects, Resource: [`arn:aws:s3:::${bucket}/${organizationId}/*`] },
      {
        Effect: 'Allow',
        Action: ['s3:ListBucket'],
        Resource: [`arn:aws:s3:::${bucket}`],
        Condition: { StringLike: { 's3:prefix': [`${organizationId}/*`] } },
      },
    ],
  })
}
