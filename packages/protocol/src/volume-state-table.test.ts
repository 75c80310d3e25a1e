import { describe, expect, it } from 'vitest'
import { errorStatus } from './errors.ts'
import { type VolumeState, volumeStates } from './volume-state.ts'
import {
  type VolumeEvent,
  volumeCommands,
  volumeEvents,
  volumeReports,
  volumeStateTable,
  volumeSteps,
  volumeTransition,
} from './volume-state-table.ts'

const cells = volumeStates.flatMap((state) => volumeEvents.map((event) => [state, event] as const))

function outcome(state: VolumeState, events: readonly VolumeEvent[]): VolumeState {
  return events.reduce<VolumeState>((current, event) => {
    const result = volumeTransition(current, event)
    return result.kind === 'changed' ? result.to : current
  }, state)
}

describe('the volume state table', () => {
  it.each(cells)('%s on %s does what its cell says', (state, event) => {
    const cell = volumeStateTable[state][event]
    const result = volumeTransition(state, event)
    if (typeof cell === 'object') expect(result).toEqual({ kind: 'refused', refusal: cell })
    else if (cell === 'same') expect(result).toEqual({ kind: 'same' })
    else expect(result).toEqual({ kind: 'changed', from: state, to: cell })
  })

  it.each(volumeReports)('V1: the report %s is never refused', (report) => {
    for (const state of volumeStates) expect(volumeStateTable[state][report]).not.toBeTypeOf('object')
  })

  it('V2: nothing leaves deleted, and nothing calls a deletion off', () => {
    for (const event of volumeEvents) {
      expect(volumeTransition('deleted', event).kind).toBe('same')
      for (const state of ['pending_delete', 'deleting'] as const) {
        const result = volumeTransition(state, event)
        if (result.kind === 'changed') expect(['deleting', 'deleted']).toContain(result.to)
      }
    }
  })

  it('V3: reports in their order bring a new volume to ready and a deleted one to its end', () => {
    expect(outcome('pending_create', ['creation_begun', 'created'])).toBe('ready')
    expect(outcome('ready', ['delete', 'deletion_begun', 'deleted'])).toBe('deleted')
    expect(outcome('error', ['delete', 'deletion_begun', 'deleted'])).toBe('deleted')
  })

  it('V4: a step is due wherever something is under way, and nowhere else', () => {
    const settled = ['ready', 'deleted', 'error']
    for (const state of volumeStates) expect(volumeSteps[state] === 'none', state).toBe(settled.includes(state))
  })

  it('V5: a deletion is refused only while the volume is being made, with status 400', () => {
    for (const state of volumeStates) {
      const cell = volumeStateTable[state].delete
      expect(typeof cell === 'object', state).toBe(state === 'pending_create' || state === 'creating')
      if (typeof cell === 'object') expect(errorStatus[cell.code]).toBe(400)
    }
  })

  it('the command and reports are all the events', () => {
    expect([...volumeCommands, ...volumeReports]).toEqual([...volumeEvents])
  })
})
