import { describe, expect, it } from 'vitest'
import { errorStatus } from './errors.ts'
import { type StoredSnapshotState, snapshotStates, storedSnapshotStates } from './snapshot-state.ts'
import {
  type SnapshotEvent,
  snapshotCommands,
  snapshotEvents,
  snapshotReports,
  snapshotStateTable,
  snapshotSteps,
  snapshotTransition,
} from './snapshot-state-table.ts'

const cells = storedSnapshotStates.flatMap((state) => snapshotEvents.map((event) => [state, event] as const))

/** The first state of each way to make a snapshot. */
const beginnings = ['build_pending', 'pending', 'snapshotting'] as const

function outcome(state: StoredSnapshotState, events: readonly SnapshotEvent[]): StoredSnapshotState {
  return events.reduce<StoredSnapshotState>((current, event) => {
    const result = snapshotTransition(current, event)
    return result.kind === 'changed' ? result.to : current
  }, state)
}

describe('the snapshot state table', () => {
  it.each(cells)('%s on %s does what its cell says', (state, event) => {
    const cell = snapshotStateTable[state][event]
    const result = snapshotTransition(state, event)
    if (typeof cell === 'object') expect(result).toEqual({ kind: 'refused', refusal: cell })
    else if (cell === 'same') expect(result).toEqual({ kind: 'same' })
    else expect(result).toEqual({ kind: 'changed', from: state, to: cell })
  })

  it.each(storedSnapshotStates)('N1: delete is never refused in %s', (state) => {
    expect(snapshotStateTable[state].delete).not.toBeTypeOf('object')
  })

  it.each(snapshotReports)('N2: the report %s is never refused', (report) => {
    for (const state of storedSnapshotStates) expect(snapshotStateTable[state][report]).not.toBeTypeOf('object')
  })

  it.each(snapshotEvents)('N3: %s brings nothing back that is removed, and calls no removal off', (event) => {
    expect(snapshotTransition('removed', event).kind).not.toBe('changed')
    const result = snapshotTransition('removing', event)
    if (result.kind === 'changed') expect(result.to).toBe('removed')
  })

  it('N4: a failure ends everything that is under way, and nothing else', () => {
    for (const state of storedSnapshotStates) {
      const failed = snapshotTransition(state, 'failed')
      if (snapshotSteps[state] === 'none') expect(failed.kind, state).toBe('same')
      else expect(failed, state).toMatchObject({ kind: 'changed', to: expect.stringMatching(/^(error|build_failed)$/) })
    }
  })

  it('N5: only a build fails as build_failed', () => {
    for (const state of storedSnapshotStates) {
      const result = snapshotTransition(state, 'failed')
      const isBuild = state === 'build_pending' || state === 'building'
      if (result.kind === 'changed') expect(result.to, state).toBe(isBuild ? 'build_failed' : 'error')
    }
  })

  it.each(beginnings)('N6: all reports in their order bring %s to active, whichever of them are repeated', (state) => {
    const order = snapshotReports.filter((report) => !['failed', 'unused', 'removed'].includes(report))
    expect(outcome(state, order)).toBe('active')
    expect(
      outcome(
        state,
        order.flatMap((report) => [report, report]),
      ),
    ).toBe('active')
  })

  it('N7: every state but the last is shown to clients', () => {
    expect(storedSnapshotStates.filter((state) => !snapshotStates.some((shown) => shown === state))).toEqual([
      'removed',
    ])
  })

  it('N8: only an active one becomes inactive, and only an inactive one active by a command', () => {
    for (const state of storedSnapshotStates) {
      expect(snapshotTransition(state, 'unused').kind === 'changed', state).toBe(state === 'active')
      expect(snapshotTransition(state, 'deactivate').kind === 'changed', state).toBe(state === 'active')
      expect(snapshotTransition(state, 'activate').kind === 'changed', state).toBe(state === 'inactive')
    }
  })

  it('refusals carry status 400', () => {
    for (const [state, event] of cells) {
      const cell = snapshotStateTable[state][event]
      if (typeof cell === 'object') expect(errorStatus[cell.code]).toBe(400)
    }
  })

  it('N9: from everywhere a deletion and its report end in removed', () => {
    for (const state of storedSnapshotStates) expect(outcome(state, ['delete', 'removed'])).toBe('removed')
  })

  it('commands and reports are all the events', () => {
    expect([...snapshotCommands, ...snapshotReports]).toEqual([...snapshotEvents])
  })
})
