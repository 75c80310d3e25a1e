import { describe, expect, it } from 'vitest'
import { type DialEvent, type DialState, dialActivities, dialTransitions, waitBound } from './dial-states.ts'

const states = Object.keys(dialTransitions) as DialState[]
const events = Object.keys(dialTransitions.stopped) as DialEvent[]
const cells = states.flatMap((state) => events.map((event) => [state, event, dialTransitions[state][event]] as const))

/** The events, other than `stop`, with which an activity can end. */
const outcomes: Record<(typeof dialActivities)[DialState], DialEvent[]> = {
  attempt: ['dialled', 'failed'],
  tunnel: ['ended'],
  wait: ['due'],
  ending: ['dialled', 'failed', 'ended'],
  none: [],
}

describe('the table of a kept tunnel’s dialling end', () => {
  it.each(cells)('D1: names a state for %s on %s', (_state, _event, next) => {
    expect(states).toContain(next)
  })

  it.each(cells.filter(([, event]) => event === 'stop'))(
    'D2: after stop nothing more is begun: %s on %s',
    (_from, _event, next) => {
      const reached = new Set<DialState>([next])
      for (const state of reached) for (const event of events) reached.add(dialTransitions[state][event])
      expect([...reached].filter((state) => state !== 'stopping' && state !== 'stopped')).toEqual([])
    },
  )

  it.each(states)('D3: %s is left only by what is under way there, or by stop', (state) => {
    const leaving = events.filter((event) => dialTransitions[state][event] !== state)
    const possible = [...outcomes[dialActivities[state]], 'stop']
    expect(leaving.filter((event) => !possible.includes(event))).toEqual([])
  })

  it.each(states.filter((state) => state !== 'stopped'))('D4: %s is left: nobody is stuck in it', (state) => {
    const outcome = outcomes[dialActivities[state]].map((event) => dialTransitions[state][event])
    expect(outcome.some((next) => next !== state)).toBe(true)
  })

  it.each(cells.filter(([from, , next]) => from !== next && next === 'dialling'))(
    'D5: an attempt follows a wait and nothing else: %s on %s',
    (from, event) => {
      expect([from, event]).toEqual(['backing_off', 'due'])
    },
  )

  it('D6: a tunnel stands only after an attempt that led to it', () => {
    const entries = cells.filter(([from, , next]) => from !== next && next === 'connected')
    expect(entries.map(([from, event]) => [from, event])).toEqual([['dialling', 'dialled']])
  })

  it('D7: the bound of a wait doubles up to its maximum, however many attempts', () => {
    const bounds = { minMs: 100, maxMs: 10_000 }
    const waits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1_000, 1e9].map((attempts) => waitBound(attempts, bounds))
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000])
  })
})
