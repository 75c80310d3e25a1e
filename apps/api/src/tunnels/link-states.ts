/** The states of a link at the end that is dialled; docs/spec/tunnel.md draws them. */
export type LinkState =
  /** Its token is being looked up. */
  | 'asking'
  /** The token is valid; the upgrade and the handshake are under way. */
  | 'greeting'
  /** The link in use of its sandbox or runner. */
  | 'current'
  /** Being closed, because another link is current or none may be. */
  | 'dismissed'
  /** Refused by a plain HTTP answer; it never was a link. */
  | 'refused'
  | 'over'

export type LinkEvent =
  /** The token is valid. */
  | 'let_in'
  /** The token is wrong, the source showed too many wrong ones, or the token cannot be checked. */
  | 'refuse'
  /** The handshake is done. */
  | 'greeted'
  /** The handshake is done, but a link that asked later is current. */
  | 'outdated'
  /** A link that asked later has done its handshake. */
  | 'replace'
  /** No link may exist: its sandbox stops, or the server does. */
  | 'disconnect'
  /** The connection has ended, at either end. */
  | 'end'

/**
 * The next state for each state and event. The table is total: a new state or event does not compile until every cell
 * is set.
 */
export const linkTransitions: Readonly<Record<LinkState, Readonly<Record<LinkEvent, LinkState>>>> = {
  asking: {
    ...{ let_in: 'greeting', refuse: 'refused', greeted: 'asking', outdated: 'asking', replace: 'asking' },
    ...{ disconnect: 'asking', end: 'over' },
  },
  greeting: {
    ...{ let_in: 'greeting', refuse: 'greeting', greeted: 'current', outdated: 'dismissed', replace: 'greeting' },
    ...{ disconnect: 'greeting', end: 'over' },
  },
  current: {
    ...{ let_in: 'current', refuse: 'current', greeted: 'current', outdated: 'current', replace: 'dismissed' },
    ...{ disconnect: 'dismissed', end: 'over' },
  },
  dismissed: {
    ...{ let_in: 'dismissed', refuse: 'dismissed', greeted: 'dismissed', outdated: 'dismissed', replace: 'dismissed' },
    ...{ disconnect: 'dismissed', end: 'over' },
  },
  refused: {
    ...{ let_in: 'refused', refuse: 'refused', greeted: 'refused', outdated: 'refused', replace: 'refused' },
    ...{ disconnect: 'refused', end: 'refused' },
  },
  over: {
    ...{ let_in: 'over', refuse: 'over', greeted: 'over', outdated: 'over', replace: 'over' },
    ...{ disconnect: 'over', end: 'over' },
  },
}
