import type { Logger } from '@atoll/service'
import { Counter } from 'prom-client'
import type { Database } from '../database/database.ts'
import type { Metrics } from '../http/metrics.ts'
import type { OrganizationBelongings } from '../organizations/organization-upkeep.ts'
import type { Quotas } from '../organizations/quotas.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { SandboxOrigins } from '../sandboxes/sandbox-origins.ts'
import type { SandboxReconciler } from '../sandboxes/sandbox-reconciler.ts'
import type { SandboxStore } from '../sandboxes/sandbox-store.ts'
import type { SandboxRow } from '../sandboxes/sandbox-table.ts'
import type { SnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import type { SnapshotStore } from '../snapshots/snapshot-store.ts'
import type { ToolboxTunnels } from '../tunnels/tunnel-registry.ts'
import type { WarmClaimDelivery } from './warm-claim-delivery.ts'
import { createWarmClaimDelivery } from './warm-claim-delivery.ts'
import { createWarmClaimStore } from './warm-claim-store.ts'
import type { WarmClaims } from './warm-claims.ts'
import { createWarmClaims } from './warm-claims.ts'
import { createWarmMemberMaker } from './warm-member-maker.ts'
import { createWarmPoolDemand } from './warm-pool-demand.ts'
import type { WarmPoolConfig, WarmPoolKeeper } from './warm-pool-keeper.ts'
import { createWarmPoolKeeper } from './warm-pool-keeper.ts'
import type { WarmPoolService } from './warm-pool-service.ts'
import { createOrganizationWarmPools, createWarmPoolService } from './warm-pool-service.ts'
import { createWarmPoolStore } from './warm-pool-store.ts'

export interface WarmPoolPartsOptions {
  database: Database
  store: SandboxStore
  changes: SandboxChanges
  reconciler: Pick<SandboxReconciler, 'handOver'>
  quotas: Quotas
  runners: Pick<RunnerService, 'readyIds' | 'lockCandidates' | 'onReady'>
  tunnels: Pick<ToolboxTunnels, 'get'>
  snapshots: Pick<SnapshotStore, 'lockUsable' | 'setUsed'>
  holdings: Pick<SnapshotRunnerStore, 'holdersOf'>
  origins: Pick<SandboxOrigins, 'choose'>
  regions: Pick<RegionService, 'resolve'>
  config: WarmPoolConfig
  metrics: Metrics
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The parts that keep warm pools filled and give members away. */
export interface WarmPoolParts extends AsyncDisposable {
  readonly warmPools: WarmPoolService
  readonly organizationWarmPools: OrganizationBelongings
  readonly claims: WarmClaims
  readonly delivery: WarmClaimDelivery
  readonly keeper: WarmPoolKeeper
  /** Continues a claim after its transaction has committed. */
  onClaim(row: SandboxRow): void
  start(): void
}

export function createWarmPoolParts(options: WarmPoolPartsOptions): WarmPoolParts {
  const { database, store: sandboxStore, metrics } = options
  const store = createWarmPoolStore(database)
  const claimStore = createWarmClaimStore(options)
  const demand = createWarmPoolDemand({ ...options, counters: createCounters(metrics) })
  const delivery = createWarmClaimDelivery({ ...options, store: claimStore })
  const make = createWarmMemberMaker(options)
  const keeper = createWarmPoolKeeper({ ...options, store, sandboxStore, make, demand })
  const onChange = () => keeper.wake()
  metrics.gauge('atoll_warm_pool_members', 'Sandboxes that wait in warm pools, started', () => keeper.ready)
  return {
    ...{ delivery, keeper },
    warmPools: createWarmPoolService({ ...options, store, onChange }),
    organizationWarmPools: createOrganizationWarmPools({ database, store, onChange }),
    claims: createWarmClaims({ ...options, store: claimStore, sandboxStore, demand }),
    onClaim(row) {
      delivery.begin(row)
      keeper.wake()
    },
    start() {
      delivery.start()
      keeper.start()
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([keeper[Symbol.asyncDispose](), delivery[Symbol.asyncDispose]()])
    },
  }
}

function createCounters({ registry }: Metrics) {
  const counter = (name: string, help: string) => new Counter({ name, help, registers: [registry] })
  return {
    claims: counter('atoll_warm_pool_claims_total', "Creates that were served from the operator's warm pools"),
    misses: counter(
      'atoll_warm_pool_misses_total',
      'Creates that could have been served from such a pool and were not',
    ),
  }
}
