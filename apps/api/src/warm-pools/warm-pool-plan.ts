import type { SandboxLifecycle } from '@atoll/protocol'

/** How far back the demand counts, in milliseconds. For this time a pool stays as large as its busiest span was. */
export const DEMAND_WINDOW_MS = 5 * 60_000

/** The age at which an unclaimed member is replaced, in milliseconds. */
export const MAX_MEMBER_AGE_MS = 24 * 60 * 60_000

/** Members that are made at a time, in all pools together. */
export const MAX_MAKING = 2
/** The same bound while creates wait for new sandboxes, which go first. */
export const MAX_MAKING_WHILE_BUSY = 1

/** The error reason of a pool whose region has no runner that could have members. */
export const NOT_SERVED = 'No available runners'

/** How many members a pool of the operator's may have. */
export interface PoolBounds {
  min: number
  max: number
}

export interface PoolFacts {
  id: string
  /** A pool of the operator's, whose size follows the demand. */
  isOperators: boolean
  /** The requested size of an organization's pool. */
  size: number
  /** The ref of the pool's snapshot. */
  snapshotRef: string | undefined
  /** Why the pool must be empty: its snapshot cannot be used, or its organization may not start sandboxes. */
  obstacle: string | undefined
  /** Whether a runner that could have members is in reach. */
  isServed: boolean
  /** Milliseconds since the epoch. */
  pausedUntil: number
  /** Creates by span. */
  demand: readonly number[]
}

export interface MemberFacts extends Pick<SandboxLifecycle, 'state' | 'desiredState' | 'lost'> {
  id: string
  poolId: string
  snapshotRef: string | null
  runnerId: string | null
  /** Milliseconds since the epoch. */
  createdAt: number
  /** Whether its runner was heard of lately. */
  isInReach: boolean
  /** Whether its runner takes new sandboxes and still has the version that made the member. */
  isCurrent: boolean
}

export interface PoolsFacts {
  pools: readonly PoolFacts[]
  members: readonly MemberFacts[]
  /** Runners on which more resources are promised than there are. */
  crowdedRunners: ReadonlySet<string>
  /** Whether creates wait for new sandboxes. */
  isBusy: boolean
  bounds: PoolBounds
  /** Milliseconds since the epoch. */
  now: number
}

export interface PoolsPlan {
  /** The number of members that each pool shall have, by pool. */
  sizes: ReadonlyMap<string, number>
  /** The members to end, and why. */
  end: readonly { id: string; reason: string }[]
  /** Pools that get one member each; a pool may be named several times. */
  make: readonly string[]
  /** Pools of which a member failed. */
  failed: ReadonlySet<string>
  /** The reasons why pools get no members though they shall have some, by pool. */
  hindered: ReadonlyMap<string, string>
}

/** Returns the number of creates in the busiest span, within the bounds. */
export function sizeFor(demand: readonly number[], { min, max }: PoolBounds): number {
  return Math.min(Math.max(min, ...demand), max)
}

/** Returns what is to be done for all pools, from their current facts (W8 to W10). */
export function planPools(facts: PoolsFacts): PoolsPlan {
  const sizes = new Map(facts.pools.map((pool) => [pool.id, sizeOf(pool, facts.bounds)]))
  const pools = new Map(facts.pools.map((pool) => [pool.id, pool]))
  const end: { id: string; reason: string }[] = []
  const failed = new Set<string>()
  const kept = new Map<string, MemberFacts[]>()
  for (const member of facts.members) {
    if (member.desiredState === 'destroyed') continue
    if (member.state === 'error') failed.add(member.poolId)
    const reason = whyUseless(member, pools.get(member.poolId), facts)
    if (reason !== undefined) end.push({ id: member.id, reason })
    // A member out of reach may come back: it is neither counted nor ended.
    else if (member.isInReach) kept.set(member.poolId, [...(kept.get(member.poolId) ?? []), member])
  }
  for (const [poolId, members] of kept) {
    const surplus = members.toSorted(byUse).slice(sizes.get(poolId) ?? 0)
    end.push(...surplus.map(({ id }) => ({ id, reason: 'the pool is larger than it need be' })))
  }
  end.push(...inTheWay([...kept.values()].flat(), { end, crowdedRunners: facts.crowdedRunners }))
  const hindered = new Map(facts.pools.flatMap((pool) => hindranceOf(pool, facts.bounds)))
  return { sizes, end, failed, hindered, make: planMaking(facts, { sizes, kept, failed }) }
}

/** W7: returns one more member to end on each crowded runner where none is ending yet, so that they end one at a time. */
function inTheWay(
  members: readonly MemberFacts[],
  { end, crowdedRunners }: Pick<PoolsFacts, 'crowdedRunners'> & Ending,
) {
  const ending = new Set(end.map(({ id }) => id))
  return [...crowdedRunners].flatMap((runnerId) => {
    const there = members.filter((member) => member.runnerId === runnerId)
    if (there.some(({ id }) => ending.has(id))) return []
    const last = there.toSorted(byUse).at(-1)
    return last === undefined ? [] : [{ id: last.id, reason: 'its runner has no room for it' }]
  })
}

type Ending = Pick<PoolsPlan, 'end'>

/** Orders started members first and, among them, the oldest first, which is claimed next. */
function byUse(one: MemberFacts, other: MemberFacts): number {
  return Number(isReady(other)) - Number(isReady(one)) || one.createdAt - other.createdAt
}

export function isReady({ state, desiredState }: Pick<MemberFacts, 'state' | 'desiredState'>): boolean {
  return state === 'started' && desiredState === 'started'
}

function sizeOf(pool: PoolFacts, bounds: PoolBounds): number {
  return pool.obstacle === undefined ? wantedOf(pool, bounds) : 0
}

function wantedOf(pool: PoolFacts, bounds: PoolBounds): number {
  return pool.isOperators ? sizeFor(pool.demand, bounds) : pool.size
}

function hindranceOf(pool: PoolFacts, bounds: PoolBounds): [string, string][] {
  const reason = pool.obstacle ?? (pool.isServed ? undefined : NOT_SERVED)
  return reason === undefined || wantedOf(pool, bounds) === 0 ? [] : [[pool.id, reason]]
}

function whyUseless(member: MemberFacts, pool: PoolFacts | undefined, facts: PoolsFacts): string | undefined {
  if (pool === undefined) return 'its pool is gone'
  if (member.state === 'error') return 'it failed'
  if (member.lost) return 'its runner is lost'
  if (member.desiredState !== 'started') return 'it ended by itself'
  if (member.snapshotRef !== pool.snapshotRef) return 'its snapshot has changed'
  if (member.isInReach && !member.isCurrent) return 'its runner takes no new sandboxes, or has another version'
  if (facts.now - member.createdAt > MAX_MEMBER_AGE_MS) return 'it waited for too long'
  return undefined
}

interface Kept {
  sizes: ReadonlyMap<string, number>
  kept: ReadonlyMap<string, readonly MemberFacts[]>
  failed: ReadonlySet<string>
}

/** Plans one member for each pool in turn, until all pools are full or enough members are being made. */
function planMaking({ pools, isBusy, now }: PoolsFacts, { sizes, kept, failed }: Kept): string[] {
  const all = [...kept.values()].flat()
  let left = (isBusy ? MAX_MAKING_WHILE_BUSY : MAX_MAKING) - all.filter((member) => !isReady(member)).length
  const open = pools.filter((pool) => pool.isServed && pool.pausedUntil <= now && !failed.has(pool.id))
  const missing = new Map(open.map(({ id }) => [id, (sizes.get(id) ?? 0) - (kept.get(id)?.length ?? 0)]))
  const make: string[] = []
  while (left > 0 && [...missing.values()].some((count) => count > 0)) {
    for (const [id, count] of missing) {
      if (count <= 0 || left <= 0) continue
      make.push(id)
      missing.set(id, count - 1)
      left -= 1
    }
  }
  return make
}
