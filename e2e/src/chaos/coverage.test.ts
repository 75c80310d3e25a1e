import { expect, it } from 'vitest'
import { missingIn, whatFails } from './coverage.ts'
import { FAULT_KINDS } from './fault-kinds.ts'

const [SHORT_MS, LONG_MS] = [60_000, 600_000]
const nothing = { faults: new Map<string, number>(), events: new Map<string, number>() }
const events = ['made', 'ready', 'halted', 'exited', 'saved', 'restored', 'removed', 'fork', 'claim']
const allEvents = new Map(events.map((event) => [event, 1]))

it('names a fault and every event that a storm has not brought about', () => {
  const missing = missingIn(nothing, { stormMs: SHORT_MS })
  expect(missing).toEqual(['no fault came', ...events.map((event) => `no sandbox had the event "${event}"`)])
  expect(missingIn({ faults: new Map([['kill api', 1]]), events: allEvents }, { stormMs: SHORT_MS })).toEqual([])
})

it('names every kind of fault that a long storm has not had, or one that was asked for', () => {
  const shown = { faults: new Map([['kill api', 1]]), events: allEvents }
  expect(missingIn(shown, { stormMs: LONG_MS })).toHaveLength(FAULT_KINDS.length - 1)
  expect(missingIn({ ...shown, events: new Map() }, { stormMs: SHORT_MS, faults: ['kill runner'] })).toEqual([
    'the fault "kill runner" never came',
  ])
})

it('lets a short storm pass without the rarer events, and a long one with all of them only', () => {
  const missing = missingIn(nothing, { stormMs: SHORT_MS })
  expect(whatFails(missing, { stormMs: SHORT_MS })).toEqual([
    'no fault came',
    ...['made', 'ready', 'halted', 'removed'].map((event) => `no sandbox had the event "${event}"`),
  ])
  expect(whatFails(missing, { stormMs: LONG_MS })).toEqual(missing)
})
