/**
 * The public shapes of the tunnel: many HTTP exchanges and upgraded two-way streams over one message link.
 * The wire format is in docs/spec/tunnel.md.
 */

/** Header names are lower case; a repeated header is an array. */
export type Headers = Record<string, string | string[]>

/** The opening of a request, as HTTP has it. `path` is the raw request target, query included. */
export interface RequestHead {
  method: string
  path: string
  headers: Headers
}

/** The opening of a response. Status 101 turns the exchange into a raw two-way stream. */
export interface ResponseHead {
  status: number
  headers: Headers
}

export type TunnelErrorCode =
  /** The link closed, or was closed, while the exchange was open. */
  | 'LINK_CLOSED'
  /** Nothing was heard from the peer for the idle timeout. */
  | 'LINK_TIMEOUT'
  /** The peer broke the protocol; the link is closed. */
  | 'PROTOCOL_ERROR'
  /** The two ends speak no common version. */
  | 'VERSION_MISMATCH'
  /** This end has `maxStreams` exchanges open already, or the peer refused one more. */
  | 'TOO_MANY_STREAMS'
  /** The other side of the exchange cancelled it. */
  | 'CANCELLED'
  /** The handler of the exchange failed before it could answer. */
  | 'HANDLER_FAILED'
  /** A head is over `maxHeadBytes`. */
  | 'HEAD_TOO_LARGE'
  /** A helper's deadline passed. */
  | 'DEADLINE_EXCEEDED'
  /** A helper's size bound was passed. */
  | 'BODY_TOO_LARGE'

/**
 * What one end of an exchange is told. Each exchange ends in exactly one of: both halves ended, `onReset`, or
 * this end's own `reset` (or, when answering, its `end` before the request was read: an early answer), after
 * which nothing more is told. A handler that throws resets its exchange with HANDLER_FAILED.
 */
export interface StreamHandlers {
  /** A piece of the incoming half. The buffer is only valid during the call unless copied. */
  onData(chunk: Buffer): void
  /** The incoming half is complete. */
  onEnd(): void
  /** `write` returned false before and the queue has drained. */
  onDrain?(): void
  /** The exchange is over before its end; nothing else is called afterwards. */
  onReset(error: Error & { code: TunnelErrorCode }): void
}

export interface ResponseHandlers extends StreamHandlers {
  /** Called once, before any `onData`. */
  onResponse(head: ResponseHead): void
}

/** One end of an exchange. */
export interface TunnelStream {
  /**
   * Queues bytes of the outgoing half. Returns false when the caller should stop until `onDrain`: at most
   * one credit window and one chunk are ever held. Ignored after `end` or reset, and once the other end has
   * answered without reading on. The chunk may be sent later, so it must not be changed afterwards.
   */
  write(chunk: Uint8Array): boolean
  /** Completes the outgoing half, after everything queued. */
  end(chunk?: Uint8Array): void
  /** Abandons the exchange in both directions; the peer's `onReset` sees `CANCELLED` (or the code given). */
  reset(code?: TunnelErrorCode, message?: string): void
  /** While paused no data is delivered and no credit is given back, so the sender stops within one window. */
  pause(): void
  resume(): void
}

/** The answering side. `handlers` must be set, and is set, synchronously in `onRequest`. */
export interface IncomingExchange extends TunnelStream {
  readonly head: RequestHead
  handlers: StreamHandlers
  /** Whether the answer was complete before the request: what was left of that is not told any more. */
  readonly answeredEarly: boolean
  /** Sends the response head. Once. */
  respond(head: ResponseHead): void
}

/** A message link below the tunnel: a WebSocket, or memory in tests. */
export interface Link {
  /** The space this link needs before each message, for a header of its own, in bytes. */
  readonly headroomBytes: number
  /**
   * Queues the message that lies in `slab` from `start` up to `end`; the `headroomBytes` before it are the link's.
   * `sent` is called once that memory may be used again. Never throws; after close it does nothing.
   */
  send(message: LinkMessage, sent: () => void): void
  /** Bytes taken by `send` that have not left for the network. */
  readonly bufferedBytes: number
  /** Sets the listeners; called once, synchronously after construction. Messages before it are kept. */
  attach(listeners: LinkListeners): void
  /** Closes politely with a WebSocket close code; `terminate` drops the link at once. */
  close(code: number, reason: string): void
  terminate(): void
  /** Stops and continues reading from the network. */
  pause(): void
  resume(): void
  /** Between the two, messages sent may be held back, so that they leave in one system call. */
  cork(): void
  uncork(): void
}

/** Where a message lies. */
export interface LinkMessage {
  slab: Buffer
  start: number
  end: number
}

export interface LinkListeners {
  onMessage(message: Buffer): void
  /** `bufferedBytes` fell after being high. */
  onDrain(): void
  onClose(code: number, reason: string): void
}

export interface PeerOptions {
  /** Which end dialled. Decides stream id parity and nothing else: both ends may open exchanges. */
  role: 'dialler' | 'listener'
  /** Answers the other end's requests. Without it every request is refused with HANDLER_FAILED. */
  onRequest?: (exchange: IncomingExchange) => void
  /** Called once when the link is over, whoever ended it; every open exchange has been reset by then. */
  onClose?: (error: Error & { code: TunnelErrorCode }) => void
  /** Partial overrides of `tunnelLimits`. */
  limits?: Partial<TunnelLimits>
  /** Where time comes from; the system's unless a test passes its own. */
  clock?: TunnelClock
}

/** Time as the tunnel needs it. `now` is in milliseconds and never goes back. */
export interface TunnelClock {
  now(): number
  /** Calls once, after at least `delayMs`; the function returned cancels. */
  after(delayMs: number, call: () => void): () => void
}

/** Every bound of the tunnel, with its unit. Defaults in `limits.ts`. */
export interface TunnelLimits {
  maxFrameBytes: number
  maxHeadBytes: number
  maxStreams: number
  /** What a sender may have under way on an exchange nobody has read from yet. */
  openingWindowBytes: number
  /** The window of an exchange once its first bytes were read; it grows from here with the path's need. */
  initialWindowBytes: number
  maxWindowBytes: number
  /** What all windows of a link together may hold above `openingWindowBytes` each. */
  maxLinkWindowBytes: number
  maxLinkBufferBytes: number
  pingIntervalMs: number
  idleTimeoutMs: number
  handshakeTimeoutMs: number
}

/** One end of a tunnel. */
export interface TunnelPeer {
  /** Resolves when the handshake is done; rejects with VERSION_MISMATCH, LINK_CLOSED or LINK_TIMEOUT. */
  readonly ready: Promise<void>
  readonly closed: boolean
  /** Resolves, never rejects, when the link is over, with what `onClose` is told. */
  readonly whenClosed: Promise<Error & { code: TunnelErrorCode }>
  /** Exchanges open in both directions now. */
  readonly openStreams: number
  /** Bytes queued here and not yet handed to the link, over all streams. */
  readonly queuedBytes: number
  /** Smoothed round trip in milliseconds, undefined until measured. */
  readonly roundTripMs: number | undefined
  /** Opens an exchange. Throws a TunnelError LINK_CLOSED, TOO_MANY_STREAMS or HEAD_TOO_LARGE. */
  request(head: RequestHead, handlers: ResponseHandlers): TunnelStream
  /** Tells the other end to open no more, waits for open exchanges up to `deadlineMs`, then closes. */
  drain(deadlineMs: number): Promise<void>
  /** Closes now; open exchanges are reset with LINK_CLOSED. */
  close(reason?: string): void
}
