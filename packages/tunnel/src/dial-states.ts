/** The life of a kept tunnel at the end that dials; docs/spec/tunnel.md draws it. */
export type DialState =
  /** An attempt is under way. */
  | 'dialling'
  /** A tunnel stands; that it may be draining is its own state. */
  | 'connected'
  /** Nothing stands, and the next attempt is not due yet. */
  | 'backing_off'
  /** Told to stop, with an attempt or a tunnel still to end. */
  | 'stopping'
  | 'stopped'

export type DialEvent =
  /** The attempt led to a tunnel. */
  | 'dialled'
  /** The attempt led to none: unreachable, refused, late, another version. */
  | 'failed'
  /** The tunnel is over: cut, silent, closed or drained by the other end, a broken rule. */
  | 'ended'
  /** The wait is over. */
  | 'due'
  /** This end shall be connected no more. */
  | 'stop'

/** What each event does in each state. Total: a new state or event does not compile until every cell is decided. */
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
  // A tunnel that comes about all the same is closed, and ends.
  stopping: { dialled: 'stopping', failed: 'stopped', ended: 'stopped', due: 'stopping', stop: 'stopping' },
  stopped: { dialled: 'stopped', failed: 'stopped', ended: 'stopped', due: 'stopped', stop: 'stopped' },
}

/** What is under way in each state, and so the events that may come: nothing else is waited for. */
export const dialActivities: Readonly<Record<DialState, 'attempt' | 'tunnel' | 'wait' | 'ending' | 'none'>> = {
  dialling: 'attempt',
  connected: 'tunnel',
  backing_off: 'wait',
  stopping: 'ending',
  stopped: 'none',
}

/** Bounds of the wait before an attempt, in milliseconds. */
export interface WaitBounds {
  minMs: number
  maxMs: number
}

/** The longest wait after `attempts` in a row that led to no tunnel that lived: `minMs`, doubled with each. */
export function waitBound(attempts: number, { minMs, maxMs }: WaitBounds): number {
  return Math.min(maxMs, minMs * 2 ** attempts)
}
