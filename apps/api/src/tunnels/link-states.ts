/** The life of a link at the end that is dialled; docs/spec/tunnel.md draws it. */
export type LinkState =
  /** Its token is being looked up. */
  | 'asking'
  /** Let in: the upgrade and the handshake are under way. */
  | 'greeting'
  /** The link of its sandbox or runner. */
  | 'current'
  /** Being closed, because another is current or none may be. */
  | 'dismissed'
  /** Answered by plain HTTP; it never was a link. */
  | 'refused'
  | 'over'

export type LinkEvent =
  /** The token is good. */
  | 'let_in'
  /** The token is wrong, there were too many wrong ones, or nobody can be asked. */
  | 'refuse'
  /** The handshake is done. */
  | 'greeted'
  /** The handshake is done, and one that asked later is current. */
  | 'outdated'
  /** One that asked later has done its handshake. */
  | 'replace'
  /** There shall be no link: its sandbox stops, or the server does. */
  | 'disconnect'
  /** The connection has ended, whoever ended it. */
  | 'end'

/** What each event does in each state. Total: a new state or event does not compile until every cell is decided. */
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
