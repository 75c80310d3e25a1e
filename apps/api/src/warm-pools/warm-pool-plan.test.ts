import { describe, expect, it } from 'vitest'
import type { MemberFacts, PoolFacts, PoolsFacts } from './warm-pool-plan.ts'
import {
  MAX_MAKING,
  MAX_MAKING_WHILE_BUSY,
  MAX_MEMBER_AGE_MS,
  NOT_SERVED,
  planPools,
  sizeFor,
} from './warm-pool-plan.ts'

const NOW = 1_000_000_000_000
const BOUNDS = { min: 1, max: 4 }

function pool(facts: Partial<PoolFacts> = {}): PoolFacts {
  return {
    ...{ id: 'p', isOperators: true, size: 0, snapshotRef: 'host', obstacle: undefined, isServed: true },
    ...{ pausedUntil: 0, demand: [] },
    ...facts,
  }
}

let made = 0
function member(facts: Partial<MemberFacts> = {}): MemberFacts {
  made += 1
  return {
    ...{ id: `m${made}`, poolId: 'p', snapshotRef: 'host', runnerId: 'r', createdAt: NOW - made },
    ...{ state: 'started', desiredState: 'started', lost: false, isInReach: true, isCurrent: true },
    ...facts,
  }
}

function plan(facts: Partial<PoolsFacts>) {
  const none = { members: [], crowdedRunners: new Set<string>(), isBusy: false }
  return planPools({ pools: [pool()], ...none, bounds: BOUNDS, now: NOW, ...facts })
}

const ended = ({ end }: ReturnType<typeof plan>) => end.map(({ id }) => id)

describe('the size of a pool (W8)', () => {
  it.each([
    [[], 1],
    [[0, 0], 1],
    [[1], 1],
    [[3], 3],
    [[1, 3, 2], 3],
    [[50], 4],
  ])('after %j creates by span is %i', (demand, size) => {
    expect(sizeFor(demand, BOUNDS)).toBe(size)
  })

  it('of the operator is 0 where nothing is to be kept', () => {
    expect(sizeFor([50], { min: 0, max: 0 })).toBe(0)
    expect(sizeFor([], { min: 0, max: 4 })).toBe(0)
  })

  it("of an organization's is what it asked for, whatever the demand and the bounds", () => {
    expect(plan({ pools: [pool({ isOperators: false, size: 9, demand: [2] })] }).sizes.get('p')).toBe(9)
  })

  it('is 0 while its snapshot cannot be used or its organization may not start things', () => {
    const members = [member(), member()]
    const obstacle = 'Snapshot is disabled'
    const { sizes, end, make, hindered } = plan({ pools: [pool({ obstacle, demand: [3] })], members })
    expect({ size: sizes.get('p'), ends: end.length, make }).toEqual({ size: 0, ends: 2, make: [] })
    expect([...hindered]).toEqual([['p', obstacle]])
  })
})

describe('filling (W9)', () => {
  it('makes few at a time', () => {
    expect(plan({ pools: [pool({ demand: [4] })] }).make).toHaveLength(MAX_MAKING)
    const onTheWay = member({ state: 'creating' })
    expect(plan({ pools: [pool({ demand: [4] })], members: [onTheWay] }).make).toHaveLength(MAX_MAKING - 1)
  })

  it('lets creates go first, but goes on', () => {
    expect(plan({ pools: [pool({ demand: [4] })], isBusy: true }).make).toHaveLength(MAX_MAKING_WHILE_BUSY)
  })

  it('gives every pool one before any gets two', () => {
    const pools = [pool({ id: 'a', demand: [4] }), pool({ id: 'b', demand: [4] })]
    expect(plan({ pools }).make).toEqual(['a', 'b'])
  })

  it('waits while it is paused, while no runner could have it, and after a failure', () => {
    expect(plan({ pools: [pool({ pausedUntil: NOW + 1 })] }).make).toEqual([])
    expect(plan({ pools: [pool({ pausedUntil: NOW })] }).make).toEqual(['p'])
    const unserved = plan({ pools: [pool({ isServed: false }), pool({ id: 'empty', isOperators: false })] })
    expect({ make: unserved.make, hindered: [...unserved.hindered] }).toEqual({
      make: [],
      hindered: [['p', NOT_SERVED]],
    })
    const failure = plan({ members: [member({ state: 'error' })] })
    expect({ make: failure.make, failed: [...failure.failed] }).toEqual({ make: [], failed: ['p'] })
  })

  it('makes nothing where all is there', () => {
    expect(plan({ members: [member()] })).toMatchObject({ make: [], end: [] })
  })
})

describe('ended is (W10)', () => {
  it.each<[string, Partial<MemberFacts>]>([
    ['what belongs to a pool that is gone', { poolId: 'gone' }],
    ['what failed', { state: 'error' }],
    ['what is on a runner that is lost', { lost: true, isInReach: false }],
    ['what stopped by itself', { state: 'stopped', desiredState: 'stopped' }],
    ['what was made from another snapshot', { snapshotRef: 'old' }],
    ['what is on a runner of another version, or that takes nothing new', { isCurrent: false }],
    ['what waited for too long', { createdAt: NOW - MAX_MEMBER_AGE_MS - 1 }],
  ])('%s', (_what, facts) => {
    const one = member(facts)
    expect(ended(plan({ members: [one] }))).toEqual([one.id])
  })

  it('what is on a runner without room for it, one at a time (W7)', () => {
    const members = [member({ createdAt: NOW - 1 }), member({ createdAt: NOW - 2 }), member({ runnerId: 's' })]
    const pools = [pool({ demand: [3] })]
    expect(ended(plan({ pools, members, crowdedRunners: new Set(['r']) }))).toEqual([members[0]?.id])
    expect(ended(plan({ pools, members, crowdedRunners: new Set(['other']) }))).toEqual([])
    const going = [member({ state: 'error' }), ...members]
    expect(ended(plan({ pools, members: going, crowdedRunners: new Set(['s']) }))).toEqual([
      going[0]?.id,
      members[2]?.id,
    ])
  })

  it('what is too many: first what is on its way, then the youngest', () => {
    const old = member({ createdAt: NOW - 2 })
    const young = member({ createdAt: NOW - 1 })
    const coming = member({ state: 'creating', createdAt: NOW - 3 })
    expect(ended(plan({ members: [young, coming, old] }))).toEqual([young.id, coming.id])
    expect(ended(plan({ pools: [pool({ demand: [2] })], members: [young, coming, old] }))).toEqual([coming.id])
  })

  it('nothing twice, and nothing that cannot be reached now', () => {
    const going = member({ desiredState: 'destroyed', state: 'error' })
    const away = member({ isInReach: false, isCurrent: false })
    const { end, make } = plan({ members: [going, away] })
    expect({ end, make }).toEqual({ end: [], make: ['p'] })
  })
})
