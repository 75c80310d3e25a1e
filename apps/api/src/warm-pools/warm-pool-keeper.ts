import { AppError } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Database } from '../database/database.ts'
import { isSuspended } from '../organizations/suspension.ts'
import { isCrowded } from '../runners/placement.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import { SILENCE_LIMIT_MS } from '../runners/runner-session.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { SandboxStore } from '../sandboxes/sandbox-store.ts'
import type { WarmMemberMaker } from './warm-member-maker.ts'
import type { WarmPoolDemand } from './warm-pool-demand.ts'
import type { MemberFacts, PoolBounds, PoolFacts, PoolsPlan } from './warm-pool-plan.ts'
import { DEMAND_WINDOW_MS, planPools } from './warm-pool-plan.ts'
import type { WarmMember, WarmPool, WarmPoolStore, WarmRunner } from './warm-pool-store.ts'
import type { WarmPoolRow } from './warm-pool-table.ts'

/** The time between two looks without a notification, in milliseconds. */
const POLL_MS = 2_000
/**
 * The delay from a claim to the look that refills the pool, in milliseconds. The claimed sandbox does its first work
 * meanwhile.
 */
const REFILL_DELAY_MS = 300
/** The delay between two looks while a runner has too much on it, in milliseconds. */
const CROWDED_LOOK_MS = 250
/** How long a pool pauses, in milliseconds: after a member failed, and where there was no room. */
export const FAILURE_PAUSE_MS = 30_000
export const ROOM_PAUSE_MS = 10_000

/** The configuration of the operator's pools. */
export interface WarmPoolConfig extends PoolBounds {
  /** Names of general snapshots. */
  snapshots: readonly string[]
}

export interface WarmPoolKeeperOptions {
  database: Pick<Database, 'db' | 'transaction'>
  store: WarmPoolStore
  sandboxStore: Pick<SandboxStore, 'change' | 'usage'>
  make: WarmMemberMaker
  demand: Pick<WarmPoolDemand, 'flush'>
  changes: Pick<SandboxChanges, 'subscribe'>
  runners: Pick<RunnerService, 'onReady'>
  config: WarmPoolConfig
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Keeps warm pools at their sizes: docs/spec/warm-pool.md. Disposing begins no more members and waits for the pass
 * under way.
 */
export interface WarmPoolKeeper extends AsyncDisposable {
  start(): void
  /** Looks at the pools soon, because a member was claimed or a pool was changed. */
  wake(): void
  /**
   * Does what is due now. While another replica fills the pools, it only writes the demand and counts the started
   * members.
   */
  pass(): Promise<void>
  /** The number of started members, as this replica last saw it. */
  readonly ready: number
}

export function createWarmPoolKeeper(options: WarmPoolKeeperOptions): WarmPoolKeeper {
  return new Keeper(options)
}

/** The facts from which a plan is made. */
interface Seen {
  pools: readonly WarmPool[]
  members: readonly WarmMember[]
  runners: readonly WarmRunner[]
  demand: ReadonlyMap<string, readonly number[]>
  crowdedRunners: ReadonlySet<string>
  isBusy: boolean
}

class Keeper implements WarmPoolKeeper {
  ready = 0
  private readonly options: WarmPoolKeeperOptions
  /** Members that were begun here and are not started yet. */
  private readonly making = new Set<string>()
  private timer: NodeJS.Timeout | undefined
  private due = Number.POSITIVE_INFINITY
  private running: Promise<void> | undefined
  /** Whether a look became due during a pass. */
  private again = false
  private started = false
  private closed = false
  private unsubscribe: () => void = () => undefined

  constructor(options: WarmPoolKeeperOptions) {
    this.options = options
  }

  start(): void {
    this.started = true
    this.unsubscribe = this.options.changes.subscribe((change) => {
      if (change === 'all' || change.state === 'creating' || change.state === 'stopped') return
      if (this.making.delete(change.id)) this.lookWithin(0)
    })
    this.options.runners.onReady(() => this.lookWithin(0))
    this.lookWithin(0)
  }

  wake(): void {
    this.lookWithin(REFILL_DELAY_MS)
  }

  async pass(): Promise<void> {
    const { database, store, demand } = this.options
    await demand.flush()
    this.ready = [...(await store.readyCounts()).values()].reduce((sum, count) => sum + count, 0)
    await database.transaction(async (tx) => {
      const rows = await tx.execute(sql`select pg_try_advisory_xact_lock(${advisoryLocks.warmPoolKeeper}) as locked`)
      if (rows[0]?.['locked'] === true) await this.keep()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closed = true
    this.unsubscribe()
    clearTimeout(this.timer)
    await this.running
  }

  /** Looks after `delayMs`; a look that is due sooner stays. */
  private lookWithin(delayMs: number): void {
    if (!this.started || this.closed) return
    const due = performance.now() + delayMs
    if (due >= this.due) return
    this.due = due
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.look(), delayMs)
  }

  private look(): void {
    this.due = Number.POSITIVE_INFINITY
    if (this.running !== undefined) {
      this.again = true
      return
    }
    this.running = this.pass()
      .catch((error: unknown) =>
        this.options.log.warn({ err: error }, 'a look at the warm pools failed; the next follows'),
      )
      .finally(() => {
        this.running = undefined
        this.lookWithin(this.again ? 0 : POLL_MS)
        this.again = false
      })
  }

  private async keep(): Promise<void> {
    const { store, now, config } = this.options
    const runners = await store.runners()
    await this.setOperators(runners)
    const seen = await this.see(runners)
    const at = now()
    const plan = planPools({
      pools: seen.pools.map((pool) => poolFacts(pool, seen, at)),
      members: seen.members.map((member) => memberFacts(member, seen, at)),
      ...{ crowdedRunners: seen.crowdedRunners, isBusy: seen.isBusy, bounds: config, now: at },
    })
    await this.note(plan, seen)
    for (const { id, reason } of plan.end) await this.end(id, reason)
    for (const id of plan.make) if (!this.closed) await this.make(id, seen)
    // An ending member frees its room only when it is gone, so a later look sees whether that is enough.
    if (seen.crowdedRunners.size > 0) this.lookWithin(CROWDED_LOOK_MS)
  }

  /** Keeps operator's pools in shared regions only: an organization with its own region can have its own pool there. */
  private async setOperators(runners: readonly WarmRunner[]): Promise<void> {
    const { config, store, now } = this.options
    const isOn = config.max > 0 && config.snapshots.length > 0
    const [snapshots, shared] = isOn
      ? await Promise.all([store.generalSnapshots(config.snapshots), store.sharedRegions()])
      : [[], []]
    const first = config.snapshots.flatMap((name) => snapshots.find((snapshot) => snapshot.name === name) ?? [])
    const targets = new Set(runners.map(({ region }) => region).filter((region) => shared.includes(region)))
    const kinds = first.flatMap(({ id: snapshotId }) => [...targets].map((target) => ({ snapshotId, target })))
    await store.setOperators(kinds, new Date(now()))
  }

  private async see(runners: readonly WarmRunner[]): Promise<Seen> {
    const { store, sandboxStore, now } = this.options
    const [pools, members, demand, isBusy] = await Promise.all([
      store.pools(),
      store.members(),
      store.demand(new Date(now() - DEMAND_WINDOW_MS)),
      store.isBusy(),
    ])
    const used = new Set(members.map(({ runnerId }) => runnerId))
    const inUse = runners.filter(({ id }) => used.has(id))
    const ids = inUse.map(({ id }) => id)
    const usage = await sandboxStore.usage(this.options.database.db, ids, 'withWarm')
    const crowded = inUse.filter(({ id, capacity, cpu, memoryGib, diskGib }) => {
      const load = usage.get(id)
      const size = { cpu: cpu ?? 0, memoryGib: memoryGib ?? 0, diskGib: diskGib ?? 0 }
      return load !== undefined && isCrowded({ id, capacity, ...size }, load)
    })
    const crowdedRunners = new Set(crowded.map(({ id }) => id))
    return { pools, members, runners, demand, isBusy, crowdedRunners }
  }

  /** Writes the sizes and error reasons that a plan changes. */
  private async note(plan: PoolsPlan, { pools, members }: Seen): Promise<void> {
    for (const { pool } of pools) {
      const size = plan.sizes.get(pool.id) ?? 0
      if (pool.organizationId === null && pool.size !== size) await this.options.store.note(pool.id, { size })
      const hindrance = plan.hindered.get(pool.id)
      if (plan.failed.has(pool.id)) await this.noteFailure(pool.id, members)
      else if (hindrance !== undefined) await this.noteHindrance(pool, hindrance)
      else if (!plan.make.includes(pool.id)) await this.noteEnd(pool)
    }
  }

  private async noteFailure(poolId: string, members: readonly WarmMember[]): Promise<void> {
    const failed = members.find((member) => member.poolId === poolId && member.state === 'error')
    const errorReason = failed?.errorReason ?? 'A sandbox failed'
    const pausedUntil = new Date(this.options.now() + FAILURE_PAUSE_MS)
    await this.options.store.note(poolId, { errorReason, pausedUntil })
  }

  private async noteHindrance({ id, errorReason: before }: WarmPoolRow, errorReason: string): Promise<void> {
    if (errorReason !== before) await this.options.store.note(id, { errorReason })
  }

  /** Clears the error reason of a pool that needs no more members, unless the pool is paused. */
  private async noteEnd({ id, errorReason, pausedUntil }: WarmPoolRow): Promise<void> {
    const isPaused = pausedUntil !== null && pausedUntil.getTime() > this.options.now()
    if (errorReason !== null && !isPaused) await this.options.store.note(id, { errorReason: null, pausedUntil: null })
  }

  /** W2: ends a member, unless it was claimed meanwhile. */
  private async end(id: string, reason: string): Promise<void> {
    const event = (row: { warmPoolId: string | null }) => (row.warmPoolId === null ? undefined : ('delete' as const))
    await this.options.sandboxStore.change({ id, event, actor: { kind: 'reconciler' }, reason })
    this.options.log.info({ sandboxId: id, reason }, 'a member of a warm pool ends')
  }

  private async make(poolId: string, { pools, runners }: Seen): Promise<void> {
    const { store, now, log } = this.options
    const pool = pools.find((one) => one.pool.id === poolId)?.pool
    if (pool === undefined) return
    try {
      const { id } = await this.options.make(pool, runners)
      this.making.add(id)
      if (pool.errorReason !== null) await store.note(poolId, { errorReason: null, pausedUntil: null })
    } catch (error) {
      if (!(error instanceof AppError)) log.warn({ err: error, poolId }, 'a member of a warm pool could not be made')
      const errorReason = error instanceof AppError ? error.message : 'A sandbox could not be made'
      await store.note(poolId, { errorReason, pausedUntil: new Date(now() + ROOM_PAUSE_MS) })
    }
  }
}

function poolFacts({ pool, snapshot, organization }: WarmPool, { demand, runners }: Seen, now: number): PoolFacts {
  return {
    ...{ id: pool.id, size: pool.size, isOperators: pool.organizationId === null },
    snapshotRef: snapshot?.ref,
    obstacle: obstacleOf({ pool, snapshot, organization }, now),
    isServed: runners.some((runner) => isInReach(runner, now) && takesMembers(runner) && runner.region === pool.target),
    pausedUntil: pool.pausedUntil?.getTime() ?? 0,
    demand: demand.get(pool.id) ?? [],
  }
}

function obstacleOf({ pool, snapshot, organization }: WarmPool, now: number): string | undefined {
  if (snapshot?.state !== 'active') return `Snapshot is ${snapshot?.state ?? 'removed'}`
  if (!snapshot.enabled) return 'Snapshot is disabled'
  if (pool.organizationId === null) return snapshot.general ? undefined : 'Snapshot is not general'
  if (organization === null || organization.deletedAt !== null) return 'Organization is deleted'
  return isSuspended(organization, now) ? 'Organization is suspended' : undefined
}

function memberFacts(member: WarmMember, { runners }: Seen, now: number): MemberFacts {
  const { id, poolId, state, desiredState, lost, snapshotRef, runnerId } = member
  const runner = runners.find((one) => one.id === runnerId)
  return {
    ...{ id, poolId, state, desiredState, lost, snapshotRef, runnerId, createdAt: member.createdAt.getTime() },
    isInReach: runner !== undefined && isInReach(runner, now),
    isCurrent: runner !== undefined && takesMembers(runner) && runner.version === member.warmRunnerVersion,
  }
}

function isInReach({ lastSeenAt }: WarmRunner, now: number): boolean {
  return lastSeenAt !== null && lastSeenAt.getTime() > now - SILENCE_LIMIT_MS
}

/** Members are of class `small`. */
function takesMembers({ unschedulable, draining, abilities, class: size }: WarmRunner): boolean {
  return !unschedulable && !draining && (size === null || size === 'small') && abilities?.claims?.available === true
}
