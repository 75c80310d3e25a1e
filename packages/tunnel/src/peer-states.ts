/** The states of one end of a tunnel, as in docs/spec/tunnel.md. */
export type PeerState =
  /** The other end's HELLO has not come. */
  | 'greeting'
  | 'open'
  /** One of the ends asked for no more exchanges; open exchanges continue. */
  | 'draining'
  | 'closed'

export type PeerEvent =
  /** A HELLO frame arrived. */
  | 'hello'
  /** A frame about an exchange, or a ping or pong, arrived. */
  | 'traffic'
  /** A GOAWAY frame arrived. */
  | 'goaway'
  /** This end was asked to drain. */
  | 'drain'
  /** The link ended, or this end ends it. */
  | 'end'

/** The next state; `violation` means that the link is closed with PROTOCOL_ERROR. */
export type Transition = PeerState | 'violation'

export const peerTransitions: Readonly<Record<PeerState, Readonly<Record<PeerEvent, Transition>>>> = {
  greeting: { hello: 'open', traffic: 'violation', goaway: 'violation', drain: 'draining', end: 'closed' },
  open: { hello: 'violation', traffic: 'open', goaway: 'draining', drain: 'draining', end: 'closed' },
  draining: { hello: 'violation', traffic: 'draining', goaway: 'draining', drain: 'draining', end: 'closed' },
  closed: { hello: 'closed', traffic: 'closed', goaway: 'closed', drain: 'closed', end: 'closed' },
}
