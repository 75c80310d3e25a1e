/** The states of a kept tunnel at the end that dials, as in docs/spec/tunnel.md. */
export type DialState =
  /** An attempt is under way. */
  | 'dialling'
  /** A tunnel is open. It may be draining: that is a state of the tunnel itself. */
  | 'connected'
  /** No tunnel is open, and the next attempt is not due yet. */
  | 'backing_off'
  /** The dialler was told to stop, and its attempt or tunnel has not ended yet. */
  | 'stopping'
  | 'stopped'

export type DialEvent =
  /** The attempt opened a tunnel. */
  | 'dialled'
  /** The attempt opened no tunnel: the server was unreachable, refused, was late, or speaks another version. */
  | 'failed'
  /** The tunnel is over: cut, silent, closed or drained by the other end, or a rule was broken. */
  | 'ended'
  /** The wait is over. */
  | 'due'
  /** The caller asked to stop. */
  | 'stop'

/** The next state for each state and event. A new state or event does not compile until every cell is filled in. */
export const dialTransitions: Readonly<Record<DialState, Readonly<Record<DialEvent, DialState>>>> = {
  dialling: {
    ...{ dialled: 'connected', failed: 'backing_off', ended: 'dialling', due: 'dialling' },
    stop: 'stopping',
  },
  connected: {
    ...{ dialled: 'connected', failed: 'connected', ended: 'backing_off', due: 'connected' },
    stop: 'stopping',
  },
  backing_off: {
    ...{ dialled: 'backing_off', failed: 'backing_off', ended: 'backing_off', due: 'dialling' },
    stop: 'stopped',
  },
  // A tunnel that opens while stopping is closed, which leads to `ended`.
  stopping: { dialled: 'stopping', failed: 'stopped', ended: 'stopped', due: 'stopping', stop: 'stopping' },
  stopped: { dialled: 'stopped', failed: 'stopped', ended: 'stopped', due: 'stopped', stop: 'stopped' },
}

/** The activity under way in each state. Only the events that end this activity can come. */
export const dialActivities: Readonly<Record<DialState, 'attempt' | 'tunnel' | 'wait' | 'ending' | 'none'>> = {
  dialling: 'attempt',
  connected: 'tunnel',
  backing_off: 'wait',
  stopping: 'ending',
  stopped: 'none',
}

/** The bounds of the wait before an attempt, in milliseconds. */
export interface WaitBounds {
  minMs: number
  maxMs: number
}

/** Returns the longest wait after `attempts` attempts in a row without a lasting tunnel: `minMs`, doubled with each. */
export function waitBound(attempts: number, { minMs, maxMs }: WaitBounds): number {
  return Math.min(maxMs, minMs * 2 ** attempts)
}
