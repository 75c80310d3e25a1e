import { describe, expect, it } from 'vitest'
import { type PeerEvent, type PeerState, peerTransitions } from './peer-states.ts'

const states = Object.keys(peerTransitions) as PeerState[]
const events = Object.keys(peerTransitions.open) as PeerEvent[]

describe('the table of a peer’s states', () => {
  it.each(states.flatMap((state) => events.map((event) => [state, event] as const)))(
    'says what %s does on %s',
    (state, event) => {
      const next = peerTransitions[state][event]
      expect([...states, 'violation']).toContain(next)
      if (event === 'end') expect(next).toBe('closed')
      if (state === 'closed') expect(next).toBe('closed')
      if (event === 'hello' && state !== 'closed') expect(next).toBe(state === 'greeting' ? 'open' : 'violation')
      // No transition leads back to an earlier state: a tunnel opens once.
      if (next !== 'violation') expect(states.indexOf(next)).toBeGreaterThanOrEqual(states.indexOf(state))
    },
  )
})
