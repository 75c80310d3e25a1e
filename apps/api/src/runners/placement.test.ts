import { describe, expect, it } from 'vitest'
import type { PlacementCandidate, RunnerLoad } from './placement.ts'
import { hasRoom, OVERCOMMIT, pickRunner } from './placement.ts'

const need = { cpu: 1, memoryGib: 1, diskGib: 1 }
const host = { cpu: 2, memoryGib: 4, diskGib: 100, capacity: null }
const empty = { cpu: 0, memoryGib: 0, diskGib: 0, sandboxes: 0 }

function pick(candidates: PlacementCandidate[], usage: [string, RunnerLoad][] = [], random = 0) {
  return pickRunner({ candidates, usage: new Map(usage), need, random: () => random })
}

describe('placement', () => {
  it('looks first at the runner that is used least by its fullest resource', () => {
    const candidates = [
      { id: 'a', ...host },
      { id: 'b', ...host },
    ]
    const usage: [string, RunnerLoad][] = [
      ['a', { ...empty, memoryGib: 8 }],
      ['b', { ...empty, cpu: 4, memoryGib: 4, diskGib: 4 }],
    ]
    expect(pick(candidates, usage)).toBe('b')
    expect(pick(candidates, usage, 0.99)).toBe('a')
  })

  it('takes by chance one of the ten used least, and none beyond', () => {
    const candidates = Array.from({ length: 12 }, (_, at) => ({ id: String(at), ...host }))
    const usage = candidates.map(({ id }): [string, RunnerLoad] => [id, { ...empty, cpu: Number(id) }])
    const picked = new Set(Array.from({ length: 100 }, (_, at) => pick(candidates, usage, at / 100)))
    expect([...picked].map(Number).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it.each(['cpu', 'memoryGib', 'diskGib'] as const)('refuses a runner whose %s is promised away', (kind) => {
    const full = { ...empty, [kind]: host[kind] * OVERCOMMIT[kind] }
    const candidates = [{ id: 'a', ...host }]
    expect(pick(candidates, [['a', full]])).toBeUndefined()
    expect(pick(candidates, [['a', { ...full, [kind]: full[kind] - 1 }]])).toBe('a')
  })

  it('promises 500 sandboxes of the usual size on two cores and 24 GiB', () => {
    const used = { cpu: 499, memoryGib: 499, diskGib: 3 * 499, sandboxes: 499 }
    const machine = { id: 'a', cpu: 2, memoryGib: 23.5, diskGib: 200, capacity: null }
    expect(pick([machine], [['a', used]])).toBe('a')
  })

  it('refuses a runner that has as many sandboxes as it takes, save for those it has', () => {
    const runner = { id: 'a', ...host, capacity: 2 }
    const load = { ...empty, sandboxes: 2 }
    expect(pick([runner], [['a', load]])).toBeUndefined()
    expect(pick([runner], [['a', { ...load, sandboxes: 1 }]])).toBe('a')
    expect(hasRoom(runner, load, need)).toBe(true)
    expect(hasRoom(runner, { ...load, cpu: 2 * OVERCOMMIT.cpu }, need)).toBe(false)
  })

  it('finds none among none, and none that has nothing', () => {
    expect(pick([])).toBeUndefined()
    expect(pick([{ id: 'a', cpu: 0, memoryGib: 0, diskGib: 0, capacity: null }])).toBeUndefined()
  })
})
