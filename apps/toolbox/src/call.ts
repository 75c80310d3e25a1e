import type { Readable } from 'node:stream'
import type { BodyOf, Operation, OutputOf, ParamsOf, QueryOf } from '@atoll/protocol'
import type { Headers } from '@atoll/tunnel'

/** One request, parsed and checked against its operation. */
export interface Call<O extends Operation> {
  /** The parameters of the path, percent-decoded. */
  readonly params: ParamsOf<O>
  readonly query: QueryOf<O>
  /** The bytes a query value arrived as: a file name need not be UTF-8. Empty when the value is absent. */
  queryBytes(name: keyof QueryOf<O> & string): Buffer
  readonly body: BodyOf<O>
  readonly headers: Headers
  /** The body as it streams in; undefined unless the operation's body is `multipart` or `binary`. */
  readonly stream: Readable | undefined
  /** Aborts when the caller is gone or the call's deadline has passed. */
  readonly signal: AbortSignal
}

/** A success that streams, or that needs a status or headers of its own. */
export interface StreamReplyOptions {
  status: number
  headers: Headers
  /** The receiver may keep each chunk. A throw before the first chunk becomes an ordinary error. */
  body: AsyncIterable<Uint8Array>
  /** Called exactly once, whether or not the body was read. */
  close?: () => Promise<void>
}

/** A reply with StreamReplyOptions; a class so that it cannot be taken for JSON. */
export class StreamReply {
  readonly status: number
  readonly headers: Headers
  readonly body: AsyncIterable<Uint8Array>
  readonly close: () => Promise<void>

  constructor(options: StreamReplyOptions) {
    this.status = options.status
    this.headers = options.headers
    this.body = options.body
    this.close = options.close ?? (async () => {})
  }
}

/** Answers one operation. Throws AppError for errors that the caller should see; any other error becomes a 500. */
export type Handler<O extends Operation> = (call: Call<O>) => Promise<OutputOf<O> | StreamReply>
