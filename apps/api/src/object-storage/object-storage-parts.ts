import type { Logger } from '@atoll/service'
import type { Config, Secrets } from '../config.ts'
import { objectsDir } from '../config.ts'
import type { Database } from '../database/database.ts'
import { createRecurringWork } from '../recurring-work.ts'
import type { Sealer } from '../secrets/sealer.ts'
import type { LocalObjectStore } from './local-objects.ts'
import { createLocalObjectStore } from './local-objects.ts'
import { createObjectFolder } from './object-folder.ts'
import type { ObjectStore } from './object-store.ts'
import { sweepObjects } from './object-sweep.ts'
import type { PushAccess } from './push-access.ts'
import { createLocalPushAccess, createStsPushAccess } from './push-access.ts'
import type { SessionCredentialsMint } from './s3-endpoint/session-credentials.ts'
import { createSessionCredentials } from './s3-endpoint/session-credentials.ts'

const SWEEP_MS = 60 * 60 * 1000

export interface ObjectStoragePartsOptions {
  config: Config
  secrets: Secrets
  database: Database
  sealer: Sealer
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

export interface ObjectStorageParts extends AsyncDisposable {
  /** The store of everything that is not a database row: in S3 when that is configured, else in the data folder. */
  readonly objects: ObjectStore
  readonly pushAccess: PushAccess
  /** The parts of this server's S3 endpoint; undefined when objects are in another S3. */
  readonly endpoint: { objects: LocalObjectStore; credentials: SessionCredentialsMint } | undefined
  /** Starts to remove abandoned uploads, files and objects. */
  start(): void
}

/** Makes the parts; the caller starts and disposes them. */
export async function createObjectStorageParts(options: ObjectStoragePartsOptions): Promise<ObjectStorageParts> {
  const { config, secrets } = options
  if (config.s3 === undefined || secrets.s3 === undefined) return createLocalParts(options)
  // The client of AWS loads slowly, so it is loaded only where S3 is configured.
  const { createS3Objects } = await import('./s3-objects.ts')
  const objects = createS3Objects({ config: config.s3, secrets: secrets.s3 })
  return {
    objects,
    pushAccess: createStsPushAccess({ config: config.s3, secrets: secrets.s3 }),
    endpoint: undefined,
    start: () => undefined,
    [Symbol.asyncDispose]: async () => objects[Symbol.dispose](),
  }
}

function createLocalParts({ config, database, sealer, log, now }: ObjectStoragePartsOptions): ObjectStorageParts {
  const objects = createLocalObjectStore({ database, folder: createObjectFolder(objectsDir(config)), log })
  const credentials = createSessionCredentials({ sealer, now })
  const sweep = createRecurringWork({
    name: 'removing objects that are left behind',
    everyMs: SWEEP_MS,
    work: (signal) => sweepObjects({ database, objects, now }, signal),
    log,
  })
  return {
    objects,
    pushAccess: createLocalPushAccess(credentials),
    endpoint: { objects, credentials },
    start: sweep.start,
    [Symbol.asyncDispose]: () => sweep[Symbol.asyncDispose](),
  }
}
