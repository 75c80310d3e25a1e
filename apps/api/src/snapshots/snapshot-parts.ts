import type { RegistryAccess } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Database } from '../database/database.ts'
import type { DatabaseListener } from '../database/listener.ts'
import type { Quotas } from '../organizations/quotas.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import type { HoldingsObserver } from '../runners/runner-session.ts'
import type { BuildContexts } from './build-contexts.ts'
import type { BuildLogs } from './build-logs.ts'
import { createBuildLogs } from './build-logs.ts'
import type { OrganizationSnapshots } from './organization-snapshots.ts'
import { createOrganizationSnapshots } from './organization-snapshots.ts'
import type { SnapshotChanges } from './snapshot-changes.ts'
import { createSnapshotChanges } from './snapshot-changes.ts'
import { createSnapshotHoldings } from './snapshot-holdings.ts'
import { createSnapshotReconciler } from './snapshot-reconciler.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import { createSnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotService } from './snapshot-service.ts'
import { createSnapshotService } from './snapshot-service.ts'
import { createMakeSnapshotStep } from './snapshot-steps.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import { createSnapshotStore } from './snapshot-store.ts'
import { createSnapshotSweep } from './snapshot-sweep.ts'
import type { SnapshotTransfers } from './snapshot-transfers.ts'
import { createSnapshotTransfers } from './snapshot-transfers.ts'
import type { SnapshotUpload } from './snapshot-upload.ts'
import { createSnapshotUpload } from './snapshot-upload.ts'
import type { SnapshotWatch } from './snapshot-watch.ts'
import { createSnapshotWatch } from './snapshot-watch.ts'

export interface SnapshotBaseOptions {
  database: Database
  /** The listener, not started yet. */
  listener: DatabaseListener
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The parts that watch runners, made before any runner connects. */
export interface SnapshotBase {
  readonly changes: SnapshotChanges
  readonly store: SnapshotStore
  readonly holdings: SnapshotRunnerStore
  readonly watch: SnapshotWatch
  readonly observer: HoldingsObserver
}

export function createSnapshotBase({ database, listener, log, now }: SnapshotBaseOptions): SnapshotBase {
  const changes = createSnapshotChanges(listener)
  const holdings = createSnapshotRunnerStore(database)
  const watch = createSnapshotWatch()
  return {
    ...{ changes, holdings, watch },
    store: createSnapshotStore({ database, changes, now }),
    observer: createSnapshotHoldings({ store: holdings, watch, log }),
  }
}

export interface SnapshotPartsOptions extends Omit<SnapshotBaseOptions, 'listener'> {
  base: SnapshotBase
  quotas: Pick<Quotas, 'checkSandbox' | 'checkSnapshot' | 'requireActive'>
  runners: Pick<RunnerService, 'readyIds' | 'client' | 'onReady'>
  regions: Pick<RegionService, 'resolve'>
  contexts: BuildContexts
  /** Returns the credentials of an organization at registries. */
  registries: (organizationId: string) => Promise<RegistryAccess[]>
}

/** The parts that make snapshots. Disposing ends the work under way in this replica. */
export interface SnapshotParts extends AsyncDisposable {
  readonly snapshots: SnapshotService
  readonly organizationSnapshots: OrganizationSnapshots
  readonly snapshotUpload: SnapshotUpload
  readonly buildLogs: BuildLogs
  readonly transfers: SnapshotTransfers
  start(): void
}

export function createSnapshotParts(options: SnapshotPartsOptions): SnapshotParts {
  const { base, database, quotas, runners, contexts, registries, log, now } = options
  const { store, holdings, changes, watch } = base
  const make = createMakeSnapshotStep({ store, holdings, runners, contexts, registries, watch })
  const reconciler = createSnapshotReconciler({ database, store, make, runners, changes, log, now })
  const sweep = createSnapshotSweep({ store, holdings, runners, changes, watch, log, now })
  const transfers = createSnapshotTransfers({ database, holdings, runners, registries, watch, log, now })
  const snapshots = createSnapshotService({ store, quotas, regions: options.regions, now })
  return {
    snapshots,
    organizationSnapshots: createOrganizationSnapshots({ database, store, holdings }),
    snapshotUpload: createSnapshotUpload({ snapshots, store, holdings, runners, log }),
    buildLogs: createBuildLogs({ store, runners }),
    transfers,
    start() {
      reconciler.start()
      sweep.start()
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([reconciler, sweep, transfers].map((part) => part[Symbol.asyncDispose]()))
    },
  }
}
