import { describe, expect, it } from 'vitest'
import { errorStatus } from './errors.ts'
import {
  desiredSandboxStates,
  type SandboxLifecycle,
  type SandboxState,
  sandboxStates,
  shownState,
  storedSandboxStates,
} from './sandbox-state.ts'
import {
  type SandboxEvent,
  sandboxCommands,
  sandboxEvents,
  sandboxReports,
  sandboxStateTable,
  sandboxSteps,
  transition,
} from './sandbox-state-table.ts'

const since = 1_000
const now = 5_000
const cells = sandboxStates.flatMap((state) => sandboxEvents.map((event) => [state, event] as const))

/** Every stored and desired pair that shows as `shown`. */
function lifecyclesOf(shown: SandboxState): SandboxLifecycle[] {
  return storedSandboxStates
    .flatMap((state) => desiredSandboxStates.map((desiredState) => ({ state, desiredState, changedAt: since })))
    .filter((lifecycle) => shownState(lifecycle) === shown && reachable(lifecycle))
}

/** S2: what is destroyed wants nothing else, and what was never made cannot be wanted stopped. */
function reachable({ state, desiredState }: SandboxLifecycle): boolean {
  if (state === 'destroyed') return desiredState === 'destroyed'
  return !(state === 'creating' && desiredState === 'stopped')
}

describe('the sandbox state table', () => {
  it.each(sandboxStates)('S1: %s is shown by at least one stored pair', (shown) => {
    expect(lifecyclesOf(shown).length).toBeGreaterThan(0)
  })

  it.each(cells)('%s on %s does what its cell says', (shown, event) => {
    const cell = sandboxStateTable[shown][event]
    for (const lifecycle of lifecyclesOf(shown)) {
      const result = transition(lifecycle, event, now)
      if (typeof cell === 'object') expect(result).toEqual({ kind: 'refused', refusal: cell })
      else if (cell === 'same') expect(result).toEqual({ kind: 'same' })
      else {
        expect(result).toMatchObject({ kind: 'changed', from: shown, to: cell, durationMs: now - since })
        if (result.kind !== 'changed') continue
        expect(shownState(result.next)).toBe(cell)
        expect(reachable(result.next)).toBe(true)
        expect(result.next.changedAt).toBe(now)
      }
    }
  })

  it.each(sandboxStates)('S3: delete is never refused in %s', (state) => {
    expect(sandboxStateTable[state].delete).not.toBeTypeOf('object')
  })

  it.each(sandboxReports)('S4: the report %s is never refused', (report) => {
    for (const state of sandboxStates) expect(sandboxStateTable[state][report]).not.toBeTypeOf('object')
  })

  it.each(sandboxEvents)('S5: %s never brings a destroyed sandbox back', (event) => {
    for (const lifecycle of lifecyclesOf('destroyed')) {
      expect(transition(lifecycle, event, now).kind).not.toBe('changed')
    }
  })

  it.each(sandboxEvents)('S6: %s never calls off a deletion', (event) => {
    for (const lifecycle of lifecyclesOf('destroying')) {
      const result = transition(lifecycle, event, now)
      if (result.kind === 'changed') expect(result.to).toBe('destroyed')
    }
  })

  it('S7: a step is taken exactly where the stored state differs from the desired one, save after an error', () => {
    for (const state of sandboxStates) {
      for (const lifecycle of lifecyclesOf(state)) {
        const differs = lifecycle.state !== lifecycle.desiredState && state !== 'error'
        expect(sandboxSteps[state] !== 'none', JSON.stringify(lifecycle)).toBe(differs)
      }
    }
  })

  it('S8: a transition takes no negative time when clocks disagree', () => {
    const result = transition({ state: 'stopped', desiredState: 'stopped', changedAt: now }, 'start', since)
    expect(result).toMatchObject({ kind: 'changed', durationMs: 0 })
  })

  it('refusals carry status 400', () => {
    for (const [state, event] of cells) {
      const cell = sandboxStateTable[state][event]
      if (typeof cell === 'object') expect(errorStatus[cell.code]).toBe(400)
    }
  })

  it('S9: a repeated event changes nothing the second time', () => {
    for (const [state, event] of cells) {
      for (const lifecycle of lifecyclesOf(state)) {
        const first = transition(lifecycle, event, now)
        if (first.kind === 'changed') expect(transition(first.next, event, now + 1).kind).not.toBe('changed')
      }
    }
  })

  it('S10: every random walk from creation stays within reachable pairs and can end destroyed', () => {
    let seed = 42
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return seed % below
    }
    for (let walk = 0; walk < 500; walk++) {
      let lifecycle: SandboxLifecycle = { state: 'creating', desiredState: 'started', changedAt: 0 }
      for (let step = 1; step <= 20; step++)
        lifecycle = advance(lifecycle, sandboxEvents[random(sandboxEvents.length)], step)
      for (const event of ['delete', 'removed'] as const) lifecycle = advance(lifecycle, event, 100)
      expect(shownState(lifecycle)).toBe('destroyed')
    }
  })

  it('commands and reports are all the events', () => {
    expect([...sandboxCommands, ...sandboxReports]).toEqual([...sandboxEvents])
  })
})

function advance(lifecycle: SandboxLifecycle, event: SandboxEvent | undefined, at: number): SandboxLifecycle {
  if (event === undefined) return lifecycle
  const result = transition(lifecycle, event, at)
  if (result.kind !== 'changed') return lifecycle
  expect(reachable(result.next)).toBe(true)
  return result.next
}
