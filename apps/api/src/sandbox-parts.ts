import type { RegistryAccess } from '@atoll/protocol'
import { RUNNER_TUNNEL_PATH, STARTED_WAIT_MS, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Database } from './database/database.ts'
import type { DatabaseListener } from './database/listener.ts'
import type { Metrics } from './http/metrics.ts'
import type { TrustedProxies } from './http/trusted-proxies.ts'
import type { WaitingRoom } from './http/waiting-room.ts'
import type { Quotas } from './organizations/quotas.ts'
import type { RegionService } from './regions/region-service.ts'
import type { RunnerService } from './runners/runner-service.ts'
import { createRunnerService } from './runners/runner-service.ts'
import { createRunnerStore } from './runners/runner-store.ts'
import { createBackupKeeper } from './sandboxes/backups/backup-keeper.ts'
import type { BackupObjects } from './sandboxes/backups/backup-objects.ts'
import type { BackupStore } from './sandboxes/backups/backup-store.ts'
import { createBackupStore } from './sandboxes/backups/backup-store.ts'
import { createSandboxFiles } from './sandboxes/backups/sandbox-files.ts'
import { createUploadStore } from './sandboxes/backups/upload-store.ts'
import { createForkStore } from './sandboxes/forks/fork-store.ts'
import type { SandboxForks } from './sandboxes/forks/sandbox-forks.ts'
import { createSandboxForks } from './sandboxes/forks/sandbox-forks.ts'
import type { OrganizationSandboxes } from './sandboxes/organization-sandboxes.ts'
import { createOrganizationSandboxes } from './sandboxes/organization-sandboxes.ts'
import { createFormerSweep } from './sandboxes/runner-loss/former-sweep.ts'
import { createRunnerLoss } from './sandboxes/runner-loss/runner-loss.ts'
import { createRunnerLossStore } from './sandboxes/runner-loss/runner-loss-store.ts'
import type { ToolboxGuard } from './sandboxes/runner-loss/toolbox-guard.ts'
import { createToolboxGuard } from './sandboxes/runner-loss/toolbox-guard.ts'
import type { SandboxChanges } from './sandboxes/sandbox-changes.ts'
import { createSandboxChanges } from './sandboxes/sandbox-changes.ts'
import { createSandboxCommands } from './sandboxes/sandbox-commands.ts'
import { createSandboxLeaseStore } from './sandboxes/sandbox-lease-store.ts'
import { createSandboxListStore } from './sandboxes/sandbox-list-store.ts'
import type { SandboxListing } from './sandboxes/sandbox-listing.ts'
import { createSandboxListing } from './sandboxes/sandbox-listing.ts'
import { createSandboxOrigins } from './sandboxes/sandbox-origins.ts'
import { createSandboxReconciler, transferLimits } from './sandboxes/sandbox-reconciler.ts'
import type { SandboxRoom } from './sandboxes/sandbox-room.ts'
import { createSandboxRoom } from './sandboxes/sandbox-room.ts'
import type { SandboxService } from './sandboxes/sandbox-service.ts'
import { createSandboxService, STOPPED_WAIT_MS } from './sandboxes/sandbox-service.ts'
import { createSnapshotFollower } from './sandboxes/sandbox-snapshot-follower.ts'
import { createSandboxSnapshotStore } from './sandboxes/sandbox-snapshot-store.ts'
import type { SandboxSnapshots } from './sandboxes/sandbox-snapshots.ts'
import { createSandboxSnapshots } from './sandboxes/sandbox-snapshots.ts'
import type { SandboxStore } from './sandboxes/sandbox-store.ts'
import { createSandboxStore } from './sandboxes/sandbox-store.ts'
import { createSandboxSync } from './sandboxes/sandbox-sync.ts'
import type { SandboxOperations } from './sandboxes/settings/sandbox-operations.ts'
import { createSandboxOperations } from './sandboxes/settings/sandbox-operations.ts'
import type { SandboxSettings } from './sandboxes/settings/sandbox-settings.ts'
import { createSandboxSettings } from './sandboxes/settings/sandbox-settings.ts'
import type { SnapshotBringer } from './sandboxes/snapshot-bringer.ts'
import { createSnapshotBringer } from './sandboxes/snapshot-bringer.ts'
import { createStartWaiter } from './sandboxes/start-waiter.ts'
import { createStateWaiter } from './sandboxes/state-waiter.ts'
import type { SandboxTimers } from './sandboxes/timers/sandbox-timers.ts'
import { createSandboxTimers } from './sandboxes/timers/sandbox-timers.ts'
import { createTimerStore } from './sandboxes/timers/timer-store.ts'
import type { BuildContexts } from './snapshots/build-contexts.ts'
import type { SnapshotBase, SnapshotParts } from './snapshots/snapshot-parts.ts'
import { createSnapshotBase, createSnapshotParts } from './snapshots/snapshot-parts.ts'
import type { SandboxActivity } from './toolbox/sandbox-activity.ts'
import { createSandboxActivity } from './toolbox/sandbox-activity.ts'
import type { ToolboxForward } from './toolbox/toolbox-forward.ts'
import { createToolboxForward } from './toolbox/toolbox-forward.ts'
import type { ToolboxService } from './toolbox/toolbox-service.ts'
import { createToolboxService } from './toolbox/toolbox-service.ts'
import type { TunnelRegistry } from './tunnels/tunnel-registry.ts'
import { createTunnelRegistry } from './tunnels/tunnel-registry.ts'
import type { TunnelEndpoint, TunnelUpgrade } from './tunnels/tunnel-upgrade.ts'
import { createTunnelUpgrade } from './tunnels/tunnel-upgrade.ts'
import type { OrganizationVolumes } from './volumes/organization-volumes.ts'
import { createVolumeParts } from './volumes/volume-parts.ts'
import type { VolumeService } from './volumes/volume-service.ts'
import type { WarmPoolConfig } from './warm-pools/warm-pool-keeper.ts'
import type { WarmPoolParts } from './warm-pools/warm-pool-parts.ts'
import { createWarmPoolParts } from './warm-pools/warm-pool-parts.ts'

export interface SandboxPartsOptions {
  database: Database
  /** Not started yet. */
  listener: DatabaseListener
  log: Logger
  metrics: Metrics
  quotas: Quotas
  /** The contexts that builds copy files from. */
  contexts: BuildContexts
  /** Returns the registries that an organization can log in at, with its credentials. */
  registries: (organizationId: string) => Promise<RegistryAccess[]>
  /** The objects of backups and archives. */
  objects: BackupObjects
  regions: Pick<RegionService, 'resolve'>
  /** The proxies that are trusted to say where a tunnel comes from. */
  proxies: TrustedProxies
  /** The connections of this host's sandboxes that no tunnel has been made of yet. */
  waitingRoom: WaitingRoom
  /** Milliseconds since the epoch. */
  now: () => number
  /** The silence after which a runner is lost, in milliseconds. */
  lostAfterMs: number
  /** The token with which this host's runner will connect, if there is such a runner. */
  runnerToken: string | undefined
  /** The warm pools that the operator asks for. */
  warmPool: WarmPoolConfig
}

/** The parts that make sandboxes exist and calls reach them. */
export interface SandboxParts {
  readonly sandboxes: SandboxService
  readonly listing: SandboxListing
  readonly organizationSandboxes: OrganizationSandboxes
  readonly settings: SandboxSettings
  readonly operations: SandboxOperations
  /** Stops, archives and deletes sandboxes for which that is due. */
  readonly timers: SandboxTimers
  readonly snapshotParts: SnapshotParts
  readonly sandboxSnapshots: SandboxSnapshots
  readonly forks: SandboxForks
  readonly volumes: VolumeService
  readonly organizationVolumes: OrganizationVolumes
  readonly warm: WarmPoolParts
  readonly toolbox: ToolboxService
  /** Passes authorised calls on to toolboxes. */
  readonly forward: ToolboxForward
  readonly runners: RunnerService
  /** Notes when sandboxes are used. */
  readonly activity: SandboxActivity
  readonly tunnels: TunnelRegistry
  /** Lets toolboxes and runners dial in. */
  readonly tunnelUpgrade: TunnelUpgrade
  /** Begins to reconcile and lets this host's runner in. */
  start(): Promise<void>
  /** Ends the calls that wait for a sandbox with SERVICE_UNAVAILABLE. */
  refuseWaiting(): void
  /** Ends reconciliation, then closes every tunnel and writes the uses of sandboxes that are not written yet. */
  close(): Promise<void>
}

/** Makes the parts from the bottom up. The caller starts and closes them. */
export function createSandboxParts(options: SandboxPartsOptions): SandboxParts {
  const { database, listener, log, metrics, quotas, regions, now } = options
  const closing = new AbortController()
  const changes = createSandboxChanges(listener)
  const store = createSandboxStore({ database, changes, now })
  const tunnels = createTunnelRegistry((change) => log.info(change, 'the link of a toolbox changed'))
  const snapshotBase = createSnapshotBase({ database, listener, log, now })
  const observer = { ...createSandboxSync({ database, store, log, now }), holdings: snapshotBase.observer }
  const { lostAfterMs } = options
  const runners = createRunnerService({ store: createRunnerStore(database), observer, log, now, lostAfterMs })
  const waiting = { changes, read: store.findOne, closing: closing.signal }
  const commands = createSandboxCommands({ store, now })
  const sources = createSources(options, { store, runners, snapshotBase, changes })
  const { origins, snapshotParts, links } = sources
  const room = createSandboxRoom({ store, quotas, runners, placesOf: origins.placesOf })
  const keeping = createKeeping(options, { store, runners, tunnels, changes, snapshots: sources.bringer })
  const { reconciler } = keeping
  const warm = createWarmPoolParts({
    ...{ database, store, changes, reconciler, quotas, runners, tunnels, origins, regions, metrics, log, now },
    ...{ config: options.warmPool, snapshots: snapshotBase.store, holdings: snapshotBase.holdings },
  })
  const waitUntilStarted = createStartWaiter(waiting)
  const sandboxes = createSandboxService({
    ...{ store, commands, room, origins, changes, reconciler, regions, quotas, now, waitUntilStarted },
    waitShortly: createStateWaiter({ ...waiting, waitMs: STOPPED_WAIT_MS }),
    ...{ warm: warm.claims, onClaim: warm.onClaim },
  })
  const activity = createSandboxActivity({ write: store.touch, tunnels, log, now })
  const watches = createWatches(options, { store, room, runners, tunnels, changes, activity, ...keeping })
  const toolbox = createToolboxService({ sandboxes, changes, tunnels, activity, claims: warm.delivery, now })
  metrics.gauge('atoll_toolboxes_connected', 'Sandboxes whose toolbox is connected here', () => tunnels.size)
  metrics.gauge('atoll_runners_connected', 'Runners that are connected here', () => runners.readyIds().length)
  return {
    sandboxes,
    listing: createSandboxListing({ store: createSandboxListStore(database) }),
    organizationSandboxes: createOrganizationSandboxes({ database, store }),
    settings: createSandboxSettings({ commands, store, wakeTimers: () => watches.timers.wake(), now }),
    operations: createSandboxOperations({
      ...{ commands, room, runners, backups: keeping.backups, wakeBackups: () => keeping.keeper.wake() },
      wait: createStateWaiter({ ...waiting, waitMs: STARTED_WAIT_MS }),
    }),
    timers: watches.timers,
    snapshotParts,
    sandboxSnapshots: createSandboxSnapshots({
      ...{ commands, links, changes, snapshots: snapshotParts.snapshots, snapshotStore: snapshotBase.store },
    }),
    forks: createSandboxForks({
      ...{ store: createForkStore(database), sandboxes: store, volumes: sources.volumeParts.volumes },
      ...{ commands, room, quotas, changes, reconciler, waitUntilStarted, now },
    }),
    volumes: sources.volumeParts.volumes,
    organizationVolumes: sources.volumeParts.organizationVolumes,
    warm,
    toolbox,
    forward: createToolboxForward({ log, now, metrics }),
    runners,
    activity,
    tunnels,
    tunnelUpgrade: createTunnelUpgrade({
      ...options,
      endpoints: tunnelEndpoints({ store, runners, tunnels, ...watches }),
    }),
    async start() {
      if (options.runnerToken !== undefined) await runners.ensureLocalRunner(options.runnerToken)
      for (const part of [...keeping.parts, ...watches.parts, warm, ...sources.parts]) part.start()
    },
    refuseWaiting: () => closing.abort(),
    close: () => closeAll({ closing, keeping, watches, warm, sources, runners, tunnels, toolbox, activity }),
  }
}

interface Kept {
  store: SandboxStore
  runners: RunnerService
  tunnels: TunnelRegistry
  changes: SandboxChanges
  snapshots: SnapshotBringer
}

/** Makes the reconcilers, which drive sandboxes towards their desired states, and the keeper of their backups. */
function createKeeping({ database, objects, log, now }: SandboxPartsOptions, kept: Kept) {
  const backups = createBackupStore({ ...database, now })
  const leases = createSandboxLeaseStore(database)
  const uploads = createUploadStore(database)
  const files = createSandboxFiles({ store: backups, uploads, objects })
  const common = { ...kept, leases, files, log }
  const reconciler = createSandboxReconciler({ ...common, work: 'steps' })
  const transfers = createSandboxReconciler({ ...common, work: 'transfers', limits: transferLimits })
  const keeper = createBackupKeeper({ ...kept, store: backups, uploads, objects, log })
  return {
    ...{ backups, keeper },
    /** The reconciler that new rows are handed over to. */
    reconciler,
    parts: [reconciler, transfers, keeper],
  }
}

interface Watched {
  store: SandboxStore
  room: SandboxRoom
  runners: RunnerService
  tunnels: TunnelRegistry
  changes: SandboxChanges
  activity: SandboxActivity
  backups: BackupStore
}

/** Makes the parts that watch sandboxes without a due step: their timers, their runners and their toolboxes' tokens. */
function createWatches({ database, log, now, lostAfterMs }: SandboxPartsOptions, watched: Watched) {
  const { store, room, runners, tunnels, changes, activity, backups } = watched
  const losses = createRunnerLossStore(database, changes)
  const sweep = createFormerSweep({ database, runners, log, now })
  const loss = createRunnerLoss({ losses, store, room, backups, log, now, lostAfterMs })
  const timers = createSandboxTimers({
    ...{ timers: createTimerStore(database), store, changes, activity, log, now },
  })
  return {
    guard: createToolboxGuard({ tunnels, store, changes, log }),
    timers,
    /** The parts that work at intervals. */
    parts: [timers, loss, sweep],
  }
}

interface Made {
  store: SandboxStore
  runners: RunnerService
  snapshotBase: SnapshotBase
  changes: SandboxChanges
}

/** Makes the parts for the origins of sandboxes: snapshots, volumes, and the follower of sandboxes that wait for a snapshot. */
function createSources(options: SandboxPartsOptions, { store, runners, snapshotBase, changes }: Made) {
  const { database, listener, quotas, regions, contexts, registries, log, now } = options
  const common = { database, quotas, runners, regions, log, now }
  const snapshotParts = createSnapshotParts({ ...common, base: snapshotBase, contexts, registries })
  const volumeParts = createVolumeParts({ ...common, listener })
  const links = createSandboxSnapshotStore({ database, changes, now })
  const { transfers, snapshots } = snapshotParts
  const follower = createSnapshotFollower({
    ...{ store, links, transfers, runners, log, now, snapshotChanges: snapshotBase.changes },
  })
  const { volumes } = volumeParts
  const { holdings } = snapshotBase
  const { store: snapshotStore } = snapshotBase
  const origins = createSandboxOrigins({ snapshots, store: snapshotStore, holdings, volumes, now })
  const bringer = createSnapshotBringer({ database, store: snapshotStore, holdings, transfers })
  return { snapshotParts, volumeParts, links, origins, bringer, parts: [snapshotParts, volumeParts, follower] as const }
}

interface TunnelOwners {
  store: Pick<SandboxStore, 'findByToolboxToken'>
  runners: Pick<RunnerService, 'authenticate' | 'attach'>
  tunnels: TunnelRegistry
  guard: Pick<ToolboxGuard, 'changesHeard' | 'check'>
}

function tunnelEndpoints({ store, runners, tunnels, guard }: TunnelOwners): Record<string, TunnelEndpoint> {
  return {
    [TOOLBOX_TUNNEL_PATH]: {
      expects: (tokenHash) => tunnels.expects(tokenHash),
      async authenticate(tokenHash) {
        const heard = guard.changesHeard
        const sandbox = await store.findByToolboxToken(tokenHash)
        return (
          sandbox &&
          ((peer, sequence) => {
            tunnels.add({ sandboxId: sandbox.id, tokenHash, peer, sequence })
            // Its token may have been taken away during the handshake.
            if (guard.changesHeard !== heard) guard.check(sandbox.id)
          })
        )
      },
    },
    [RUNNER_TUNNEL_PATH]: {
      async authenticate(tokenHash) {
        const runner = await runners.authenticate(tokenHash)
        return runner && ((peer) => runners.attach(runner, peer))
      },
    },
  }
}

interface Closable {
  closing: AbortController
  keeping: { parts: readonly AsyncDisposable[] }
  sources: { parts: readonly AsyncDisposable[] }
  watches: { guard: AsyncDisposable; parts: readonly AsyncDisposable[] }
  warm: AsyncDisposable
  runners: AsyncDisposable
  tunnels: TunnelRegistry
  toolbox: Disposable
  activity: SandboxActivity
}

async function closeAll(parts: Closable): Promise<void> {
  parts.closing.abort()
  const { keeping, watches, warm, sources } = parts
  const first = [...watches.parts, watches.guard, warm, ...keeping.parts, ...sources.parts]
  await Promise.all(first.map((part) => part[Symbol.asyncDispose]()))
  await parts.runners[Symbol.asyncDispose]()
  parts.tunnels.close()
  parts.toolbox[Symbol.dispose]()
  await parts.activity[Symbol.asyncDispose]()
}
