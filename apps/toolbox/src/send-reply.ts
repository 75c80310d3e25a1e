import type { Headers, IncomingExchange } from '@atoll/tunnel'
import type { StreamReply } from './call.ts'
import type { Incoming } from './incoming.ts'

/** Bytes of a JSON answer sent at a time. */
const JSON_SLICE_BYTES = 64 * 1024

/** One answer that is being sent. */
export interface Outgoing {
  exchange: IncomingExchange
  incoming: Incoming
  /** Whether the head was sent, after which an error can only break the answer off. */
  sent: { head: boolean }
  /** False for HEAD. */
  withBody: boolean
}

/** Sends a value as JSON, or an empty body for undefined. Rejects when the caller is gone or stalls. */
export async function sendJson(outgoing: Outgoing, status: number, value: unknown): Promise<void> {
  const { exchange } = outgoing
  const bytes = value === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(value))
  const headers: Headers = { 'content-length': String(bytes.length) }
  if (value !== undefined) headers['content-type'] = 'application/json; charset=utf-8'
  respond(outgoing, { status, headers })
  if (!outgoing.withBody || bytes.length === 0) return exchange.end()
  let start = 0
  while (bytes.length - start > JSON_SLICE_BYTES) {
    await write(outgoing, bytes.subarray(start, start + JSON_SLICE_BYTES))
    start += JSON_SLICE_BYTES
  }
  exchange.end(bytes.subarray(start))
}

/** Sends a streaming reply chunk by chunk as fast as the caller reads, and closes it. */
export async function sendStream(outgoing: Outgoing, reply: StreamReply): Promise<void> {
  const { exchange, sent } = outgoing
  try {
    if (outgoing.withBody) {
      for await (const chunk of reply.body) {
        if (!sent.head) respond(outgoing, reply)
        await write(outgoing, chunk)
      }
    }
    if (!sent.head) respond(outgoing, reply)
    exchange.end()
  } finally {
    await reply.close()
  }
}

function respond(outgoing: Outgoing, head: { status: number; headers: Headers }): void {
  outgoing.sent.head = true
  outgoing.exchange.respond({ status: head.status, headers: head.headers })
}

async function write({ exchange, incoming }: Outgoing, chunk: Uint8Array): Promise<void> {
  incoming.signal.throwIfAborted()
  if (!exchange.write(chunk)) await incoming.drained()
}
