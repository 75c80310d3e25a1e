import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEFAULT_SNAPSHOT, MAX_PASSWORD_LENGTH, MAX_WARM_POOL_SIZE, MIN_PASSWORD_LENGTH } from '@atoll/protocol'
import { ConfigError, loadConfig } from '@atoll/service'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import { readTrustedProxies } from './http/trusted-proxies.ts'
import type { OidcProvider } from './oidc/oidc-provider.ts'
import { readProviders } from './oidc/oidc-provider.ts'
import { RUNNER_LOST_AFTER_MS } from './runners/runner-silence.ts'
import { SEALING_KEYS_PATTERN } from './secrets/sealing-key.ts'
import type { WarmPoolConfig } from './warm-pools/warm-pool-keeper.ts'

/**
 * An idle sandbox holds about 10 MB. One member is always ready; most of eight are gone five minutes after the rush.
 */
const DEFAULT_WARM_POOL_MIN = 1
const DEFAULT_WARM_POOL_MAX = 8

/** Every variable the API reads whose value may be shown. */
export const ConfigSchema = Type.Object({
  ATOLL_DATA_DIR: Type.String({ minLength: 1, description: 'Absolute path of the folder that holds all state' }),
  ATOLL_HOST: Type.String({ default: '127.0.0.1', description: 'Address the public port listens on' }),
  ATOLL_PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535, description: '0 takes any free port' }),
  ATOLL_DIAL_HOME_DIR: Type.Optional(
    Type.String({ minLength: 1, description: "Folder of the socket that this host's sandboxes dial" }),
  ),
  ATOLL_PUBLIC_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'How clients reach the public port, when not directly' }),
  ),
  ATOLL_TRUSTED_PROXIES: Type.Optional(
    Type.String({
      maxLength: 8_192,
      description: 'Addresses and networks, between commas, of reverse proxies whose X-Forwarded-* headers count',
    }),
  ),
  ATOLL_PREVIEW_DOMAIN: Type.Optional(
    Type.String({
      pattern:
        '^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?::\\d{1,5})?$',
      maxLength: 200,
      description: 'Below which host name previews are, and perhaps on which port; localhost when not given',
    }),
  ),
  ATOLL_OIDC_ISSUER: Type.Optional(
    Type.String({ pattern: '^https?://[^\\s?#]+$', description: 'OpenID provider whose tokens are accepted' }),
  ),
  ATOLL_OIDC_CLIENT_ID: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: 'What browsers and command lines sign in as there' }),
  ),
  ATOLL_OIDC_AUDIENCE: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: '`aud` of its tokens. Absent: the client id' }),
  ),
  ATOLL_OIDC_NAME: Type.String({
    default: 'oidc',
    pattern: '^[a-z0-9][a-z0-9_-]{0,62}$',
    description: 'Its name where accounts are linked',
  }),
  ATOLL_OIDC_PROVIDERS: Type.Optional(
    Type.String({
      maxLength: 65_536,
      description: 'Further providers: JSON array of { name, displayName, issuer, clientId, audience }',
    }),
  ),
  ATOLL_REQUIRE_VERIFIED_EMAIL: Type.Boolean({
    default: true,
    description: "Whether an OpenID user's own organization is suspended until their email address is verified",
  }),
  ATOLL_HISTORY_DAYS: Type.Integer({
    default: 90,
    minimum: 0,
    maximum: 36_500,
    description: 'How long destroyed sandboxes and events of changes are remembered; 0: for ever',
  }),
  ATOLL_S3_BUCKET: Type.Optional(
    Type.String({ minLength: 3, maxLength: 63, description: 'Absent: objects are kept in the data folder' }),
  ),
  ATOLL_S3_ENDPOINT: Type.Optional(Type.String({ pattern: '^https?://', description: 'Absent: that of AWS' })),
  ATOLL_S3_REGION: Type.String({ default: 'us-east-1', minLength: 1, maxLength: 64 }),
  ATOLL_S3_ROLE_ARN: Type.Optional(
    Type.String({ minLength: 1, maxLength: 2_048, description: 'Role that credentials for uploads are made of' }),
  ),
  ATOLL_S3_STS_ENDPOINT: Type.Optional(
    Type.String({ pattern: '^https?://', description: "Absent: the S3 endpoint's, or that of AWS" }),
  ),
  ATOLL_WARM_POOL_MIN: Type.Integer({
    ...{ default: DEFAULT_WARM_POOL_MIN, minimum: 0, maximum: MAX_WARM_POOL_SIZE },
    description: 'Sandboxes of each snapshot and region that are always kept ready',
  }),
  ATOLL_WARM_POOL_MAX: Type.Integer({
    ...{ default: DEFAULT_WARM_POOL_MAX, minimum: 0, maximum: MAX_WARM_POOL_SIZE },
    description: 'The same at most, when many are asked for; 0: none',
  }),
  ATOLL_WARM_POOL_SNAPSHOTS: Type.String({
    ...{ default: DEFAULT_SNAPSHOT, maxLength: 8_192 },
    description: 'Names, between commas, of the general snapshots of which sandboxes are kept ready',
  }),
  ATOLL_RUNNER_LOST_AFTER_S: Type.Integer({
    default: RUNNER_LOST_AFTER_MS / 1_000,
    minimum: 5,
    maximum: 86_400,
    description: 'Seconds of silence after which a runner, and what runs there, is taken for lost',
  }),
  ATOLL_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], { default: 'info' }),
})

/** Variables whose value is never shown. */
export const SecretsSchema = Type.Object({
  DATABASE_URL: Type.Optional(
    Type.String({ pattern: '^postgres(ql)?://', description: 'Absent: an embedded PostgreSQL in the data folder' }),
  ),
  ATOLL_RUNNER_TOKEN: Type.Optional(
    Type.String({ minLength: 16, maxLength: 256, description: "Token of this host's runner" }),
  ),
  ATOLL_ADMIN_PASSWORD: Type.Optional(
    Type.String({
      minLength: MIN_PASSWORD_LENGTH,
      maxLength: MAX_PASSWORD_LENGTH,
      description: 'Password of the login `admin`, for an administrator who has none yet',
    }),
  ),
  ATOLL_PROXY_API_KEY: Type.Optional(
    Type.String({
      pattern: '^[!-~]{16,256}$',
      description: 'Key of a preview proxy that runs apart: it may read where sandboxes run, and nothing else',
    }),
  ),
  ATOLL_S3_ACCESS_KEY_ID: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  ATOLL_S3_SECRET_ACCESS_KEY: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  ATOLL_ENCRYPTION_KEY: Type.Optional(
    Type.String({
      pattern: SEALING_KEYS_PATTERN,
      description: '32 bytes in base64 or hexadecimal; of several between commas the first seals, all open',
    }),
  ),
})

/** The S3 bucket that holds the objects. */
export interface S3Config {
  readonly bucket: string
  /** Undefined for AWS. */
  readonly endpoint: string | undefined
  readonly region: string
  /** The role behind credentials for uploads; undefined where no client can be given credentials of its own. */
  readonly roleArn: string | undefined
  /** Undefined for AWS. */
  readonly stsEndpoint: string | undefined
}

export interface S3Secrets {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface Config {
  readonly dataDir: string
  readonly host: string
  readonly port: number
  readonly dialHomeDir: string | undefined
  readonly publicUrl: string | undefined
  /** IP addresses and networks. */
  readonly trustedProxies: readonly string[]
  readonly previewDomain: string | undefined
  /** The issuers whose tokens are accepted; clients are told of the first. */
  readonly oidcProviders: readonly OidcProvider[]
  readonly requireVerifiedEmail: boolean
  /** Days for which finished things are remembered; 0: for ever. */
  readonly historyDays: number
  /** Undefined: objects are kept in the data folder. */
  readonly s3: S3Config | undefined
  /** Sandboxes that are kept ready for everybody. */
  readonly warmPool: WarmPoolConfig
  /** Silence after which a runner is lost, in milliseconds. */
  readonly runnerLostAfterMs: number
  readonly logLevel: Static<typeof ConfigSchema>['ATOLL_LOG_LEVEL']
}

export interface Secrets {
  readonly databaseUrl: string | undefined
  readonly runnerToken: string | undefined
  /** First password of the administrator. */
  readonly adminPassword: string | undefined
  /** Service key of a preview proxy. */
  readonly proxyApiKey: string | undefined
  /** One key or several; absent, one is kept in the data folder. */
  readonly encryptionKey: string | undefined
  /** Defined when `Config.s3` is. */
  readonly s3: S3Secrets | undefined
}

/** Reads and checks the environment. Throws ConfigError with every problem at once. */
export function readConfig(env: Record<string, string | undefined> = process.env): {
  config: Config
  secrets: Secrets
} {
  const values = loadConfig(Type.Object({ ...ConfigSchema.properties, ...SecretsSchema.properties }), env)
  const relative = [values.ATOLL_DATA_DIR, values.ATOLL_DIAL_HOME_DIR].filter((path) => path && !isAbsolute(path))
  if (relative.length > 0) throw new ConfigError(relative.map((path) => `${path} must be an absolute path`))
  const { providers, problems: wrongProviders } = readProviders(values)
  const { addresses, problems: wrongProxies } = readTrustedProxies(values.ATOLL_TRUSTED_PROXIES)
  const problems = [...wrongProviders, ...wrongProxies]
  if (problems.length > 0) throw new ConfigError(problems)
  const s3 = readS3(values)
  return {
    config: Object.freeze({
      dataDir: values.ATOLL_DATA_DIR,
      host: values.ATOLL_HOST,
      port: values.ATOLL_PORT,
      dialHomeDir: values.ATOLL_DIAL_HOME_DIR,
      publicUrl: values.ATOLL_PUBLIC_URL?.replace(/\/+$/, ''),
      trustedProxies: addresses,
      previewDomain: values.ATOLL_PREVIEW_DOMAIN,
      oidcProviders: providers,
      requireVerifiedEmail: values.ATOLL_REQUIRE_VERIFIED_EMAIL,
      historyDays: values.ATOLL_HISTORY_DAYS,
      s3: s3?.config,
      warmPool: readWarmPool(values),
      runnerLostAfterMs: values.ATOLL_RUNNER_LOST_AFTER_S * 1_000,
      logLevel: values.ATOLL_LOG_LEVEL,
    }),
    secrets: Object.freeze({
      databaseUrl: values.DATABASE_URL,
      runnerToken: values.ATOLL_RUNNER_TOKEN,
      adminPassword: values.ATOLL_ADMIN_PASSWORD,
      proxyApiKey: values.ATOLL_PROXY_API_KEY,
      encryptionKey: values.ATOLL_ENCRYPTION_KEY,
      s3: s3?.secrets,
    }),
  }
}

type WarmPoolValues = Pick<
  Static<typeof ConfigSchema>,
  'ATOLL_WARM_POOL_MIN' | 'ATOLL_WARM_POOL_MAX' | 'ATOLL_WARM_POOL_SNAPSHOTS'
>

/** A maximum below the minimum lowers the minimum: a configured maximum is meant. */
function readWarmPool(values: WarmPoolValues): WarmPoolConfig {
  const { ATOLL_WARM_POOL_MAX: max } = values
  const names = values.ATOLL_WARM_POOL_SNAPSHOTS.split(',').map((name) => name.trim())
  const snapshots = [...new Set(names.filter((name) => name !== ''))]
  return Object.freeze({ snapshots, min: Math.min(values.ATOLL_WARM_POOL_MIN, max), max })
}

type S3Values = Pick<
  Static<typeof ConfigSchema> & Static<typeof SecretsSchema>,
  | 'ATOLL_S3_BUCKET'
  | 'ATOLL_S3_ENDPOINT'
  | 'ATOLL_S3_REGION'
  | 'ATOLL_S3_ROLE_ARN'
  | 'ATOLL_S3_STS_ENDPOINT'
  | 'ATOLL_S3_ACCESS_KEY_ID'
  | 'ATOLL_S3_SECRET_ACCESS_KEY'
>

/**
 * Reads the settings of S3. Throws ConfigError unless the variables that belong together are all given or all absent.
 */
function readS3(values: S3Values): { config: S3Config; secrets: S3Secrets } | undefined {
  const { ATOLL_S3_BUCKET: bucket, ATOLL_S3_REGION: region, ATOLL_S3_ENDPOINT: endpoint } = values
  const { ATOLL_S3_ACCESS_KEY_ID: accessKeyId, ATOLL_S3_SECRET_ACCESS_KEY: secretAccessKey } = values
  if (bucket === undefined) {
    const useless = [endpoint, accessKeyId, secretAccessKey, values.ATOLL_S3_ROLE_ARN, values.ATOLL_S3_STS_ENDPOINT]
    if (useless.every((value) => value === undefined)) return undefined
    throw new ConfigError(['ATOLL_S3_BUCKET: must be given with the other variables of S3'])
  }
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new ConfigError(['ATOLL_S3_ACCESS_KEY_ID and ATOLL_S3_SECRET_ACCESS_KEY: must be given with ATOLL_S3_BUCKET'])
  }
  const stsEndpoint = values.ATOLL_S3_STS_ENDPOINT ?? endpoint
  return {
    config: { bucket, endpoint, region, roleArn: values.ATOLL_S3_ROLE_ARN, stsEndpoint },
    secrets: { accessKeyId, secretAccessKey },
  }
}

/** Folder of the embedded PostgreSQL. */
export function postgresDir(config: Config): string {
  return join(config.dataDir, 'postgres')
}

/** Folder of the objects that are not kept in S3. */
export function objectsDir(config: Config): string {
  return join(config.dataDir, 'objects')
}

/** The migrations; src/ and dist/ lie beside them. */
export const migrationsDir = fileURLToPath(new URL('../migrations', import.meta.url))
