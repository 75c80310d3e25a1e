import type { SandboxCommand } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { createRunnerStore } from '../runners/runner-store.ts'
import type { BackupKeeper } from '../sandboxes/backups/backup-keeper.ts'
import { createBackupKeeper } from '../sandboxes/backups/backup-keeper.ts'
import type { BackupStore } from '../sandboxes/backups/backup-store.ts'
import { createBackupStore } from '../sandboxes/backups/backup-store.ts'
import { createSandboxFiles } from '../sandboxes/backups/sandbox-files.ts'
import { createUploadStore } from '../sandboxes/backups/upload-store.ts'
import type { NewSandbox, SandboxColumns } from '../sandboxes/sandbox-change-store.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { createSandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { createSandboxLeaseStore } from '../sandboxes/sandbox-lease-store.ts'
import { planSandbox } from '../sandboxes/sandbox-plan.ts'
import type { ReconcilerLimits, SandboxReconciler } from '../sandboxes/sandbox-reconciler.ts'
import { createSandboxReconciler } from '../sandboxes/sandbox-reconciler.ts'
import { hashToken } from '../sandboxes/sandbox-steps.ts'
import type { SandboxStore } from '../sandboxes/sandbox-store.ts'
import { createSandboxStore } from '../sandboxes/sandbox-store.ts'
import type { SandboxRow } from '../sandboxes/sandbox-table.ts'
import type { SnapshotBringer } from '../sandboxes/snapshot-bringer.ts'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { createTunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { MemoryObjects } from './memory-objects.ts'
import { MemoryRunner } from './memory-runner.ts'
import { createPrincipal } from './test-api.ts'
import type { TestDatabase } from './test-database.ts'
import { createTestDatabase } from './test-database.ts'
import { until } from './until.ts'

/** Times short enough for tests; a lease that never expires by itself. */
const limits: Partial<ReconcilerLimits> = { pollMs: 20, leaseMs: 600_000, retryMinMs: 1, retryMaxMs: 10 }
const silent = { subscribe: () => undefined }
const user = { kind: 'user', id: 'u1' } as const
const log = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent')

/** The parts of a replica in these tests: its reconcilers and its keeper of backups. */
export interface TestReplica {
  /** The reconciler of steps, to which new rows are handed over. */
  reconciler: SandboxReconciler
  keeper: BackupKeeper
  /** Ends the replica as `kill -9` would: it gives nothing back, and its leases run out. */
  die(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Sandboxes on a runner and an object store in memory, over a real database. */
export interface ReconciledSandboxes extends AsyncDisposable {
  readonly database: TestDatabase
  readonly runner: MemoryRunner
  /** Runners by id: `runner` and the added ones. */
  readonly runners: Map<string, MemoryRunner>
  readonly objects: MemoryObjects
  readonly store: SandboxStore
  readonly backups: BackupStore
  readonly runnerId: string
  readonly organizationId: string
  readonly changes: SandboxChanges
  readonly tunnels: TunnelRegistry
  /** Says of runners whether they have the snapshots of what is restored: that they do, until a test has it say something else. */
  readonly snapshots: SnapshotBringer
  /** Adds a runner of that name and returns its id. A runner that a test removes from `runners` cannot be called. */
  addRunner(name: string): Promise<string>
  startReplica(extra?: Partial<ReconcilerLimits>): TestReplica
  insert(columns?: Partial<SandboxRow> & Pick<NewSandbox, 'lease'>): Promise<string>
  /** Makes a started sandbox and returns its id. */
  started(columns?: Partial<SandboxRow>): Promise<string>
  /** Makes a stopped sandbox that has changed these files, and returns its id. */
  stopped(files: string, columns?: Partial<SandboxRow>): Promise<string>
  read(id: string): Promise<SandboxRow>
  command(id: string, event: SandboxCommand, columns?: SandboxColumns): ReturnType<SandboxStore['change']>
  untilSettled(id: string, state: SandboxRow['state']): Promise<void>
  /** Resolves when the keeper has deleted all discarded backups. */
  untilSwept(): Promise<void>
}

/** `now`: milliseconds since the epoch, as the stores see it. */
export async function createReconciledSandboxes(now: () => number = Date.now): Promise<ReconciledSandboxes> {
  const database = await createTestDatabase()
  const tunnels = createTunnelRegistry()
  const runner = new MemoryRunner(tunnels)
  const objects = new MemoryObjects()
  const changes = createSandboxChanges(silent)
  const store = createSandboxStore({ database, changes, now })
  const backups = createBackupStore({ db: database.db, transaction: database.transaction, now })
  const ensureRunner = async (name: string, made: MemoryRunner) => {
    const tokenHash = hashToken(name)
    const id = await createRunnerStore(database).ensure({ name, tokenHash, region: 'us' })
    runners.set(id, made)
    return id
  }
  const runners = new Map<string, MemoryRunner>()
  const runnerId = await ensureRunner('r', runner)
  const { organizationId } = await createPrincipal(database)
  const replicas: TestReplica[] = []
  const snapshots: SnapshotBringer = { isThere: async () => true }
  const world = {
    database,
    runner,
    runners,
    objects,
    store,
    backups,
    runnerId,
    organizationId,
    changes,
    tunnels,
    snapshots,
  }

  async function read(id: string): Promise<SandboxRow> {
    const [row] = await store.findMany([id])
    if (row === undefined) throw new Error('the row is gone')
    return row
  }
  async function insert(columns: Parameters<ReconciledSandboxes['insert']>[0] = {}): Promise<string> {
    const at = new Date(now())
    const times = { changedAt: at, lastActivityAt: at, createdAt: at, updatedAt: at }
    const { ttlMinutes: _, ...plan } = planSandbox({})
    const values = { ...plan, ...times, target: 'us', organizationId, runnerId, ...columns }
    const row = await store.transaction((tx) =>
      store.insert(tx, { ...values, state: 'creating', desiredState: 'started' }, user),
    )
    if (row === undefined) throw new Error('nothing was inserted')
    return row.id
  }
  function untilSettled(id: string, state: SandboxRow['state']): Promise<void> {
    return until(`the row is settled as ${state}`, async () => {
      const row = await read(id)
      return row.state === state && (row.desiredState === state || state === 'error')
    })
  }
  async function started(columns?: Partial<SandboxRow>): Promise<string> {
    const id = await insert(columns)
    await untilSettled(id, 'started')
    return id
  }
  const command: ReconciledSandboxes['command'] = (id, event, columns) =>
    store.change({ id, event, actor: user, before: async () => columns })

  return {
    ...world,
    ...{ read, insert, untilSettled, started, command },
    addRunner: (name) => ensureRunner(name, new MemoryRunner(tunnels)),
    async stopped(files, columns) {
      const id = await started(columns)
      runner.get(id).files = files
      await command(id, 'stop')
      await untilSettled(id, 'stopped')
      return id
    },
    startReplica(extra = {}) {
      const replica = createReplica(world, extra)
      replicas.push(replica)
      return replica
    },
    untilSwept: () =>
      until('nothing is left to delete', async () => {
        const left = await database.sql`select 1 from sandbox_backups where state = 'discarded' limit 1`
        return left.length === 0
      }),
    async [Symbol.asyncDispose]() {
      for (const replica of replicas) await replica[Symbol.asyncDispose]()
      tunnels.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

interface ReplicaParts
  extends Pick<
    ReconciledSandboxes,
    'database' | 'runners' | 'objects' | 'store' | 'backups' | 'tunnels' | 'changes' | 'snapshots'
  > {}

/** Starts a replica that sees the changes of others only by polling (R7). Once dead it polls no more. */
function createReplica(parts: ReplicaParts, extra: Partial<ReconcilerLimits>): TestReplica {
  const { database, objects, store, backups, tunnels, changes } = parts
  let dead = false
  const leases = createSandboxLeaseStore(database)
  const uploads = createUploadStore(database)
  let lookingForWork: Promise<unknown> = Promise.resolve()
  /** Wraps `lease`: a dead replica gets no rows, and `lookingForWork` ends with the calls under way. */
  function whileAlive<Request, Row>(lease: (request: Request) => Promise<Row[]>): (request: Request) => Promise<Row[]> {
    return async (request) => {
      const rows = dead ? Promise.resolve([]) : lease(request)
      lookingForWork = Promise.allSettled([lookingForWork, rows])
      return await rows
    }
  }
  const runners = {
    readyIds: () => (dead ? [] : [...parts.runners.keys()]),
    client: (id: string) => parts.runners.get(id),
    onReady: () => undefined,
  }
  const common = {
    ...{ store, runners, tunnels, changes, log },
    leases: { ...leases, lease: whileAlive(leases.lease) },
    files: createSandboxFiles({ store: backups, uploads, objects }),
    snapshots: parts.snapshots,
    limits: { ...limits, ...extra },
  }
  const reconciler = createSandboxReconciler({ ...common, work: 'steps' })
  const reconcilers = [reconciler, createSandboxReconciler({ ...common, work: 'transfers' })]
  const keeper = createBackupKeeper({
    store: { ...backups, lease: whileAlive(backups.lease), discarded: whileAlive(backups.discarded) },
    ...{ uploads, objects, runners, changes, log },
    limits: { pollMs: 20, retryMinMs: 1, retryMaxMs: 10, maxAttempts: 5, leaseMs: 600_000, discardDeadlineMs: 50 },
  })
  for (const part of [...reconcilers, keeper]) part.start()
  return {
    ...{ reconciler, keeper },
    async die() {
      dead = true
      // A statement under way would take the expired lease again, for the ten minutes of these tests.
      await lookingForWork
      await database.sql`
        update sandboxes set lease_expires_at = now() - interval '1 second' where lease_owner is not null`
      await database.sql`
        update sandbox_backups set lease_expires_at = now() - interval '1 second' where lease_owner is not null`
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...reconcilers, keeper].map((part) => part[Symbol.asyncDispose]()))
    },
  }
}
