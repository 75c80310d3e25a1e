import type { SandboxLifecycle } from '@atoll/protocol'

/** How far back the demand counts, in milliseconds: for so long a pool stays as large as its busiest span was. */
export const DEMAND_WINDOW_MS = 5 * 60_000

/** A member that nobody claimed for so long is made anew, in milliseconds. */
export const MAX_MEMBER_AGE_MS = 24 * 60 * 60_000

/** Members on their way at a time, of all pools together. */
export const MAX_MAKING = 2
/** The same while creates wait for sandboxes of their own, which go first. */
export const MAX_MAKING_WHILE_BUSY = 1

/** What a pool says whose region has no runner that could have members. */
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
  /** What was asked for, in a pool of an organization's. */
  size: number
  /** Of its snapshot. */
  snapshotRef: string | undefined
  /** Why it is to be empty: its snapshot cannot be used, or its organization may not start things. */
  obstacle: string | undefined
  /** A runner that could have members is in reach. */
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
  /** Its runner was heard of lately. */
  isInReach: boolean
  /** Its runner takes new sandboxes, and is of the version that made it. */
  isCurrent: boolean
}

export interface PoolsFacts {
  pools: readonly PoolFacts[]
  members: readonly MemberFacts[]
  /** Runners on which more is promised than there is. */
  crowdedRunners: ReadonlySet<string>
  /** Creates wait for sandboxes of their own. */
  isBusy: boolean
  bounds: PoolBounds
  /** Milliseconds since the epoch. */
  now: number
}

export interface PoolsPlan {
  /** By pool: members that it shall have. */
  sizes: ReadonlyMap<string, number>
  /** Members that shall go, and why. */
  end: readonly { id: string; reason: string }[]
  /** Pools that get one member each; a pool may be named several times. */
  make: readonly string[]
  /** Pools of which a member failed. */
  failed: ReadonlySet<string>
  /** By pool: why it gets no members, though it shall have some. */
  hindered: ReadonlyMap<string, string>
}

/** As many as were asked for in the busiest span, within the bounds. */
export function sizeFor(demand: readonly number[], { min, max }: PoolBounds): number {
  return Math.min(Math.max(min, ...demand), max)
}

/** What is to be done about all pools, from what is so now (W8 to W10). */
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
    // What cannot be reached may come back: it is neither counted nor ended.
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

/** W7: of each runner without room one at a time, until there is room. */
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

/** Started ones first, and among those the oldest, which is claimed next. */
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

/** One for each pool in turn, until all are whole or enough is on its way. */
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
