import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type LinkEvent, type LinkState, linkTransitions } from './link-states.ts'

const states = Object.keys(linkTransitions) as LinkState[]
const events = Object.keys(linkTransitions.over) as LinkEvent[]
const cells = states.flatMap((state) => events.map((event) => [state, event, linkTransitions[state][event]] as const))
const changes = cells.filter(([from, , next]) => from !== next)
const final: LinkState[] = ['refused', 'over']
/** Each state leads only to later ones in this list. */
const order: LinkState[] = ['asking', 'greeting', 'current', 'dismissed', 'refused', 'over']

describe('the table of a link’s dialled end', () => {
  it.each(cells)('L1: %s on %s names a state, and none that lies behind', (from, _event, next) => {
    expect(order.indexOf(next)).toBeGreaterThanOrEqual(order.indexOf(from))
  })

  it.each(states)('L2: %s ends with its connection, and what is final stays', (state) => {
    expect(linkTransitions[state].end).toBe(state === 'refused' ? 'refused' : 'over')
    if (final.includes(state)) expect(changes.filter(([from]) => from === state)).toEqual([])
  })

  it.each(changes.filter(([, , next]) => next === 'refused'))(
    'L3: it is refused before it is let in only: %s on %s',
    (from) => {
      expect(from).toBe('asking')
    },
  )

  it.each(changes.filter(([, , next]) => next === 'current'))(
    'L4: it is current only with a good token and a handshake: %s on %s',
    (from, event) => {
      expect([from, event]).toEqual(['greeting', 'greeted'])
      expect(changes.filter(([, , next]) => next === 'greeting').map(([state, cause]) => [state, cause])).toEqual([
        ['asking', 'let_in'],
      ])
    },
  )

  it.each(changes.filter(([, , next]) => next === 'dismissed'))(
    'L5: it is dismissed for a newer one, or when none may be, and never comes back: %s on %s',
    (_from, event) => {
      expect(['outdated', 'replace', 'disconnect']).toContain(event)
      expect(changes.filter(([from]) => from === 'dismissed').map(([, , next]) => next)).toEqual(['over'])
    },
  )

  it.each(cells)('L6: %s on %s, and the same again, changes nothing more', (_from, event, next) => {
    expect(linkTransitions[next][event]).toBe(next)
  })

  it.each(states)('is the one of docs/spec: %s', (state) => {
    const page = readFileSync(join(import.meta.dirname, '../../../../docs/spec/tunnel.md'), 'utf8').split('\n')
    expect(page).toContain(`| state | ${events.join(' | ')} |`)
    const said = events.map((event) => linkTransitions[state][event]).map((next) => (next === state ? '·' : next))
    expect(page).toContain(`| ${state} | ${said.join(' | ')} |`)
  })
})
