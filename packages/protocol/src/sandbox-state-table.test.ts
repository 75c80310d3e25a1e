import { describe, expect, it } from 'vitest'
import { errorStatus } from './errors.ts'
import {
  desiredSandboxStates,
  isStorableState,
  phaseOf,
  recoverableStates,
  type SandboxLifecycle,
  type SandboxPhase,
  sandboxPhases,
  sandboxStates,
  shownOf,
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
const cells = sandboxPhases.flatMap((phase) => sandboxEvents.map((event) => [phase, event] as const))

/** Returns every set of column values that is in `phase`. */
function lifecyclesOf(phase: SandboxPhase): SandboxLifecycle[] {
  return storedSandboxStates
    .flatMap((state) => desiredSandboxStates.map((desiredState) => ({ state, desiredState, changedAt: since })))
    .flatMap((pair) => [false, true].map((lost) => ({ ...pair, lost })))
    .flatMap((pair) => [null, ...recoverableStates].map((recoverableTo) => ({ ...pair, recoverableTo })))
    .filter((lifecycle) => isReachable(lifecycle) && phaseOf(lifecycle) === phase)
}

/**
 * S2: a destroyed sandbox has no other desired state; only a sandbox in an error or lost with a backup, and not to be
 * deleted, can be recovered. L2: only a sandbox with its files on a runner is lost with that runner.
 */
function isReachable({ state, desiredState, recoverableTo, lost }: SandboxLifecycle): boolean {
  if (!isStorableState(state, desiredState)) return false
  if (desiredState === 'destroyed') return recoverableTo === null && !lost
  if (lost) return recoverableTo !== 'stopped' && ['stopped', 'started', 'error'].includes(state)
  return recoverableTo === null || state === 'error'
}

/** Returns where the files of a sandbox in `phase` are. */
function placeOf(phase: SandboxPhase): 'nowhere' | 'runner' | 'storage' | 'any' {
  switch (phase) {
    case 'pendingBuild':
    case 'buildingSnapshot':
    case 'buildFailed':
    case 'pullingSnapshot':
    case 'creating':
    case 'destroyed':
      return 'nowhere'
    case 'restoring':
    case 'archived':
    case 'failedArchived':
      return 'storage'
    case 'failed':
    case 'destroying':
      return 'any'
    default:
      return 'runner'
  }
}

describe('the sandbox state table', () => {
  it.each(sandboxPhases)('S1: %s is what at least one set of columns amounts to', (phase) => {
    expect(lifecyclesOf(phase).length).toBeGreaterThan(0)
  })

  it.each(sandboxStates)('S1: %s is shown for at least one phase', (shown) => {
    expect(sandboxPhases.map(shownOf)).toContain(shown)
  })

  it.each(cells)('%s on %s does what its cell says', (phase, event) => {
    const cell = sandboxStateTable[phase][event]
    for (const lifecycle of lifecyclesOf(phase)) {
      const result = transition(lifecycle, event, now)
      if (typeof cell === 'object') expect(result).toEqual({ kind: 'refused', refusal: cell })
      else if (cell === 'same') expect(result).toEqual({ kind: 'same' })
      else {
        expect(result).toMatchObject({ kind: 'changed', from: shownOf(phase), durationMs: now - since })
        if (result.kind !== 'changed') continue
        if (cell === 'asBefore') expect(result.next).toMatchObject({ state: lifecycle.state, lost: false })
        else expect(phaseOf(result.next)).toBe(cell)
        expect(shownState(result.next)).toBe(result.to)
        expect(isReachable(result.next)).toBe(true)
        expect(result.next.changedAt).toBe(now)
      }
    }
  })

  it.each(sandboxPhases)('S3: delete is never refused in %s', (phase) => {
    expect(sandboxStateTable[phase].delete).not.toBeTypeOf('object')
  })

  it.each(sandboxReports)('S4: the report %s is never refused', (report) => {
    for (const phase of sandboxPhases) expect(sandboxStateTable[phase][report]).not.toBeTypeOf('object')
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

  it('S7: a step is taken exactly where the stored state differs from the desired one, save after an error, before there is a snapshot and while its runner is lost', () => {
    const stepless = ['error', 'build_failed', 'pending_build', 'building_snapshot', 'pulling_snapshot', 'unknown']
    for (const phase of sandboxPhases) {
      for (const lifecycle of lifecyclesOf(phase)) {
        const differs = lifecycle.state !== lifecycle.desiredState && !stepless.includes(shownOf(phase))
        expect(sandboxSteps[shownOf(phase)] !== 'none', JSON.stringify(lifecycle)).toBe(differs)
      }
    }
  })

  it('S8: a transition takes no negative time when clocks disagree', () => {
    const still = { state: 'stopped', desiredState: 'stopped', recoverableTo: null, lost: false } as const
    const stopped = { ...still, changedAt: now }
    expect(transition(stopped, 'start', since)).toMatchObject({ kind: 'changed', durationMs: 0 })
  })

  it('refusals carry status 400', () => {
    for (const [phase, event] of cells) {
      const cell = sandboxStateTable[phase][event]
      if (typeof cell === 'object') expect(errorStatus[cell.code]).toBe(400)
    }
  })

  it('S9: a repeated event changes nothing the second time', () => {
    for (const [phase, event] of cells) {
      for (const lifecycle of lifecyclesOf(phase)) {
        const first = transition(lifecycle, event, now)
        if (first.kind === 'changed') expect(transition(first.next, event, now + 1).kind).not.toBe('changed')
      }
    }
  })

  it('S10: every random walk from creation stays within reachable columns and can end destroyed', () => {
    let seed = 42
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      // The lower bits of the seed repeat soon.
      return Math.floor(seed / 65_536) % below
    }
    const seen = new Set<SandboxPhase>()
    const beginnings = ['pending_build', 'pulling_snapshot', 'creating'] as const
    for (let walk = 0; walk < 1_000; walk++) {
      const state = beginnings[walk % beginnings.length] ?? 'creating'
      const fresh = { desiredState: 'started', recoverableTo: null, lost: false } as const
      let lifecycle: SandboxLifecycle = { state, ...fresh, changedAt: 0 }
      for (let step = 1; step <= 100; step++) {
        const event = sandboxEvents[random(sandboxEvents.length)]
        // Most deletes are replaced, or most walks would end before they reach an archive.
        lifecycle = advance(lifecycle, event === 'delete' && random(20) > 0 ? 'saved' : event, step)
        seen.add(phaseOf(lifecycle))
      }
      for (const event of ['delete', 'removed'] as const) lifecycle = advance(lifecycle, event, 100)
      expect(shownState(lifecycle)).toBe('destroyed')
    }
    expect([...seen].sort()).toEqual([...sandboxPhases].sort())
  })

  it('S11: files change their place only by the report that says so', () => {
    const moves: Partial<Record<SandboxEvent, string>> = {
      ...{ made: 'nowhere runner', restored: 'storage runner', saved: 'runner storage', removed: 'any nowhere' },
      // L5: a lost sandbox gets its files from the backup.
      ...{ recover: 'runner storage', recoverStopped: 'runner storage', gone: 'runner storage' },
    }
    for (const [phase, event] of cells) {
      const cell = sandboxStateTable[phase][event]
      if (typeof cell === 'object' || cell === 'same' || cell === 'asBefore') continue
      const [before, after] = [placeOf(phase), placeOf(cell)]
      if (before !== after && after !== 'any') expect(`${before} ${after}`, `${phase} ${event}`).toBe(moves[event])
    }
  })

  it('S12: a failure can be recovered from, to where the files are, unless there are none yet', () => {
    for (const phase of sandboxPhases) {
      const cell = sandboxStateTable[phase].failed
      if (cell === 'same') continue
      const expected = { nowhere: 'failed', runner: 'failedStopped', storage: 'failedArchived', any: undefined }
      expect(cell, phase).toBe(expected[placeOf(phase)])
    }
  })

  it('S13: whatever is under way is called off by nothing but a deletion', () => {
    for (const phase of sandboxPhases) {
      if (sandboxSteps[shownOf(phase)] === 'none' || phase === 'destroying') continue
      for (const command of sandboxCommands) {
        if (command !== 'delete') expect(sandboxStateTable[phase][command], `${phase} ${command}`).toBeTypeOf('object')
      }
    }
  })

  it('S14: a sandbox that waits for its snapshot is made next, or never', () => {
    const waiting = ['pendingBuild', 'buildingSnapshot', 'pullingSnapshot'] as const
    const after = new Set(['buildingSnapshot', 'buildFailed', 'pullingSnapshot', 'creating', 'failed', 'destroying'])
    for (const phase of waiting) {
      for (const event of sandboxEvents) {
        const cell = sandboxStateTable[phase][event]
        if (typeof cell === 'string' && cell !== 'same') expect(after.has(cell), `${phase} ${event}`).toBe(true)
      }
    }
  })

  it('L3: what was lost goes on where it was when its runner returns', () => {
    for (const phase of sandboxPhases) {
      for (const event of ['lost', 'lostWithBackup'] as const) {
        if (sandboxStateTable[phase][event] === 'same') continue
        for (const lifecycle of lifecyclesOf(phase)) {
          const lost = advance(lifecycle, event, now)
          expect([phaseOf(lost), shownState(lost)]).toEqual([event, 'unknown'])
          expect(advance(lost, 'reached', since)).toEqual(lifecycle)
        }
      }
    }
  })

  it('L2: exactly what has its files on a runner is lost with it', () => {
    for (const phase of sandboxPhases) {
      const isLost = phase === 'lost' || phase === 'lostWithBackup'
      const expected = placeOf(phase) === 'runner' && !isLost ? 'lost' : 'same'
      expect(sandboxStateTable[phase].lost, phase).toBe(expected)
    }
  })

  it('L5: what is lost is moved by nobody but whoever recovers it, deletes it, or takes its runner away', () => {
    const moving = new Set<SandboxEvent>(['recover', 'recoverStopped', 'delete', 'gone', 'reached'])
    for (const phase of ['lost', 'lostWithBackup'] as const) {
      for (const event of sandboxEvents) {
        const cell = sandboxStateTable[phase][event]
        if (!moving.has(event) && typeof cell === 'string') expect(cell, `${phase} ${event}`).toBe('same')
      }
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
  expect(isReachable(result.next)).toBe(true)
  return result.next
}
