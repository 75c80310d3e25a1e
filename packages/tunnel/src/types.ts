/**
 * The public shapes of the tunnel: many HTTP exchanges and upgraded two-way streams over one message link.
 * The wire format is in docs/spec/tunnel.md.
 */

/** Header names are lower case; a repeated header is an array. */
export type Headers = Record<string, string | string[]>

/** The head of an HTTP request. `path` is the raw request target, query included. */
export interface RequestHead {
  method: string
  path: string
  headers: Headers
}

/** The head of an HTTP response. Status 101 turns the exchange into a raw two-way stream. */
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
  /** The deadline of a forwarded or buffered call passed. */
  | 'DEADLINE_EXCEEDED'
  /** The response of a buffered call is over its `maxResponseBytes`. */
  | 'BODY_TOO_LARGE'

/**
 * The callbacks of one end of an exchange. Each exchange ends in exactly one of: both halves ended, `onReset`, or
 * this end's own `reset` (or, when answering, its `end` before the request was read: an early answer). No callback
 * is called after that. A handler that throws resets its exchange with HANDLER_FAILED.
 */
export interface StreamHandlers {
  /** Takes a piece of the incoming half. The buffer is valid only during the call. */
  onData(chunk: Buffer): void
  /** The incoming half is complete. */
  onEnd(): void
  /** The queue has drained after `write` returned false. */
  onDrain?(): void
  /** The exchange was broken off; no other callback follows. */
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
   * one credit window and one chunk are ever held. Does nothing after `end` or a reset, or once the other end has
   * answered without reading the rest. The chunk may be sent later, so the caller must not change it afterwards.
   */
  write(chunk: Uint8Array): boolean
  /** Completes the outgoing half once the queue is sent. */
  end(chunk?: Uint8Array): void
  /** Abandons the exchange in both directions; the peer's `onReset` sees `CANCELLED` (or the code given). */
  reset(code?: TunnelErrorCode, message?: string): void
  /** While paused no data is delivered and no credit is given back, so the sender stops within one window. */
  pause(): void
  resume(): void
}

/** The answering end of an exchange. `onRequest` must set `handlers` before it returns. */
export interface IncomingExchange extends TunnelStream {
  readonly head: RequestHead
  handlers: StreamHandlers
  /** Whether the answer was complete before the request: the rest of the request is not delivered. */
  readonly answeredEarly: boolean
  /** Sends the response head. To be called once. */
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
  /** Sends what is queued and closes with a WebSocket close code; `terminate` drops the link at once. */
  close(code: number, reason: string): void
  terminate(): void
  /** Stops and continues reading from the network. */
  pause(): void
  resume(): void
  /** Between `cork` and `uncork` the link may hold messages back, so that they leave in one system call. */
  cork(): void
  uncork(): void
}

/** The place of a message in memory: in `slab`, from `start` up to `end`. */
export interface LinkMessage {
  slab: Buffer
  start: number
  end: number
}

export interface LinkListeners {
  onMessage(message: Buffer): void
  /** `bufferedBytes` is low again. */
  onDrain(): void
  onClose(code: number, reason: string): void
}

export interface PeerOptions {
  /** Which end dialled. Decides only the parity of exchange ids: both ends may open exchanges. */
  role: 'dialler' | 'listener'
  /** Answers the other end's requests. Without it every request is refused with HANDLER_FAILED. */
  onRequest?: (exchange: IncomingExchange) => void
  /** Called once when the link is over, whichever end closed it; every open exchange has been reset by then. */
  onClose?: (error: Error & { code: TunnelErrorCode }) => void
  /** Partial overrides of `tunnelLimits`. */
  limits?: Partial<TunnelLimits>
  /** The clock; the system's unless a test passes its own. */
  clock?: TunnelClock
}

/** Time as the tunnel needs it. `now` is in milliseconds and never goes back. */
export interface TunnelClock {
  now(): number
  /** Runs `call` once, after at least `delayMs`; the returned function cancels it. */
  after(delayMs: number, call: () => void): () => void
}

/** Every bound of the tunnel, with its unit. Defaults in `limits.ts`. */
export interface TunnelLimits {
  maxFrameBytes: number
  maxHeadBytes: number
  maxStreams: number
  /** The bytes a sender may have under way on an exchange that has not been read from yet. */
  openingWindowBytes: number
  /** The window of an exchange once its first bytes were read; it grows from here with the path's need. */
  initialWindowBytes: number
  maxWindowBytes: number
  /** The sum over all windows of a link of what each has above `openingWindowBytes`. */
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
  /** Resolves when the link is over, with the error that `onClose` gets. Never rejects. */
  readonly whenClosed: Promise<Error & { code: TunnelErrorCode }>
  /** The number of exchanges open now, in both directions. */
  readonly openStreams: number
  /** Bytes queued here and not yet handed to the link, over all streams. */
  readonly queuedBytes: number
  /** The smoothed round trip in milliseconds; undefined until measured. */
  readonly roundTripMs: number | undefined
  /** Opens an exchange. Throws a TunnelError LINK_CLOSED, TOO_MANY_STREAMS or HEAD_TOO_LARGE. */
  request(head: RequestHead, handlers: ResponseHandlers): TunnelStream
  /** Tells the other end to open no more exchanges, waits for open ones up to `deadlineMs`, then closes. */
  drain(deadlineMs: number): Promise<void>
  /** Closes now; open exchanges are reset with LINK_CLOSED. */
  close(reason?: string): void
}
