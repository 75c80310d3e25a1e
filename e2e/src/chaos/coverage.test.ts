import { expect, it } from 'vitest'
import { missingIn, whatFails } from './coverage.ts'
import { FAULT_KINDS } from './fault-kinds.ts'

const [SHORT_MS, LONG_MS] = [60_000, 600_000]
const nothing = { faults: new Map<string, number>(), events: new Map<string, number>() }
const events = ['made', 'ready', 'halted', 'exited', 'saved', 'restored', 'removed', 'fork', 'claim']
const allEvents = new Map(events.map((event) => [event, 1]))
const firstKinds = [
  'kill api',
  'kill runner',
  'kill postmaster',
  'host disk full',
  'kill toolbox',
  'kill young runtime',
]
const firstFaults = new Map(firstKinds.map((kind) => [kind, 1]))
const lineOfFault = (kind: string) => `the fault "${kind}" never came`
const lineOfEvent = (event: string) => `no sandbox had the event "${event}"`

it('names the first faults and every event that a storm has not brought about', () => {
  const missing = missingIn(nothing, { stormMs: SHORT_MS })
  expect(missing).toEqual([...firstKinds.map(lineOfFault), ...events.map(lineOfEvent)])
  expect(missingIn({ faults: firstFaults, events: allEvents }, { stormMs: SHORT_MS })).toEqual([])
})

it('names every kind of fault that a long storm has not had, that nothing was recovered, or a fault that was asked for', () => {
  const shown = { faults: firstFaults, events: allEvents }
  const missing = missingIn(shown, { stormMs: LONG_MS })
  expect(missing).toHaveLength(FAULT_KINDS.length - firstKinds.length + 1)
  expect(missing).toContain(lineOfEvent('recover'))
  expect(missingIn({ ...shown, events: new Map() }, { stormMs: SHORT_MS, faults: ['stall runner'] })).toEqual([
    lineOfFault('stall runner'),
  ])
})

it('lets a short storm pass without the rarer events, and a long one with all of them only', () => {
  const missing = missingIn(nothing, { stormMs: SHORT_MS })
  expect(whatFails(missing, { stormMs: SHORT_MS })).toEqual([
    ...firstKinds.map(lineOfFault),
    ...['made', 'ready', 'halted', 'removed'].map(lineOfEvent),
  ])
  expect(whatFails(missing, { stormMs: LONG_MS })).toEqual(missing)
})
