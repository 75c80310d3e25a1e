import { describe, expect, it } from 'vitest'
import { OVERCOMMIT, pickRunner } from './placement.ts'

const need = { cpu: 1, memoryGib: 1, diskGib: 1 }
const host = { cpu: 2, memoryGib: 4, diskGib: 100 }

describe('placement', () => {
  it('takes the runner that is used least by its fullest resource', () => {
    const candidates = [
      { id: 'a', ...host },
      { id: 'b', ...host },
    ]
    const usage = new Map([
      ['a', { cpu: 0, memoryGib: 8, diskGib: 0 }],
      ['b', { cpu: 4, memoryGib: 4, diskGib: 4 }],
    ])
    expect(pickRunner(candidates, usage, need)).toBe('b')
  })

  it.each(['cpu', 'memoryGib', 'diskGib'] as const)('refuses a runner whose %s is promised away', (kind) => {
    const full = { cpu: 0, memoryGib: 0, diskGib: 0, [kind]: host[kind] * OVERCOMMIT[kind] }
    const candidates = [{ id: 'a', ...host }]
    expect(pickRunner(candidates, new Map([['a', full]]), need)).toBeUndefined()
    const last = { ...full, [kind]: full[kind] - 1 }
    expect(pickRunner(candidates, new Map([['a', last]]), need)).toBe('a')
  })

  it('finds none among none, and none that has nothing', () => {
    expect(pickRunner([], new Map(), need)).toBeUndefined()
    expect(pickRunner([{ id: 'a', cpu: 0, memoryGib: 0, diskGib: 0 }], new Map(), need)).toBeUndefined()
  })
})
