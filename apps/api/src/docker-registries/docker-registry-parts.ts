import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import { createRecurringWork } from '../recurring-work.ts'
import type { Sealer } from '../secrets/sealer.ts'
import type { DockerRegistryService } from './docker-registry-service.ts'
import { createDockerRegistryService } from './docker-registry-service.ts'
import { createDockerRegistryStore } from './docker-registry-store.ts'
import { createHarborRobots } from './harbor-robots.ts'

/** The interval of the sweep: push access may outlive its hour by this much, and a new sealing key is applied within it. */
const SWEEP_MS = 5 * 60 * 1000

export interface DockerRegistryPartsOptions {
  database: Database
  sealer: Sealer
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

export interface DockerRegistryParts extends AsyncDisposable {
  readonly dockerRegistries: DockerRegistryService
  /** Starts to end expired push access. */
  start(): void
}

/** Makes the parts; the caller starts and disposes them. */
export function createDockerRegistryParts({
  database,
  sealer,
  log,
  now,
}: DockerRegistryPartsOptions): DockerRegistryParts {
  const store = createDockerRegistryStore(database)
  const dockerRegistries = createDockerRegistryService({ store, sealer, robots: createHarborRobots({ now }) })
  const sweep = createRecurringWork({
    name: 'looking after registries',
    everyMs: SWEEP_MS,
    work: async (signal) => {
      const resealed = await dockerRegistries.sealAnew()
      if (resealed > 0) log.info({ registries: resealed }, 'sealed passwords of registries with the new encryption key')
      await dockerRegistries.endExpiredPushAccess(signal)
    },
    log,
  })
  return { dockerRegistries, start: sweep.start, [Symbol.asyncDispose]: () => sweep[Symbol.asyncDispose]() }
}
