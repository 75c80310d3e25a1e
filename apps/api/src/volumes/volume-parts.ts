import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import type { DatabaseListener } from '../database/listener.ts'
import type { Quotas } from '../organizations/quotas.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import type { OrganizationVolumes } from './organization-volumes.ts'
import { createOrganizationVolumes } from './organization-volumes.ts'
import { createVolumeChanges } from './volume-changes.ts'
import { createVolumeReconciler } from './volume-reconciler.ts'
import type { VolumeService } from './volume-service.ts'
import { createVolumeService } from './volume-service.ts'
import { createVolumeStore } from './volume-store.ts'

export interface VolumePartsOptions {
  database: Database
  /** The listener, not started yet. */
  listener: DatabaseListener
  quotas: Pick<Quotas, 'checkVolume'>
  runners: Pick<RunnerService, 'readyIds' | 'client' | 'onReady'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The parts that make volumes. Disposing ends the work under way in this replica. */
export interface VolumeParts extends AsyncDisposable {
  readonly volumes: VolumeService
  readonly organizationVolumes: OrganizationVolumes
  start(): void
}

export function createVolumeParts({ database, listener, quotas, runners, log, now }: VolumePartsOptions): VolumeParts {
  const changes = createVolumeChanges(listener)
  const store = createVolumeStore({ database, changes, now })
  const pickRunner = async () => await store.emptiest(runners.readyIds())
  const reconciler = createVolumeReconciler({ database, store, runners, pickRunner, changes, log })
  return {
    volumes: createVolumeService({ store, quotas }),
    organizationVolumes: createOrganizationVolumes({ database, store }),
    start: () => reconciler.start(),
    [Symbol.asyncDispose]: () => reconciler[Symbol.asyncDispose](),
  }
}
