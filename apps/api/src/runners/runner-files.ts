import type { Duplex, Readable } from 'node:stream'
import { addAbortSignal } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { TunnelPeer } from '@atoll/tunnel'
import { openDuplex } from '@atoll/tunnel'
import { RunnerCallError, readAnswer } from './runner-answer.ts'

/** The longest reply to an upload, or error of a download, in bytes. */
const MAX_ANSWER_BYTES = 64 * 1024

interface Transfer {
  path: string
  /** Ends the transfer at any time. */
  signal: AbortSignal
}

/**
 * Returns the body of a GET, which fails with TunnelError if the runner breaks it off. Throws RunnerCallError. The caller
 * reads the stream to its end or destroys it.
 */
export async function openDownload(peer: TunnelPeer, { path, signal }: Transfer): Promise<Readable> {
  signal.throwIfAborted()
  const { duplex, response } = openDuplex(peer, { method: 'GET', path, headers: {} })
  // The reader of the stream gets the error; before there is one, the wait for the response's head fails.
  duplex.on('error', () => undefined)
  addAbortSignal(signal, duplex)
  duplex.end()
  const head = await response
  if (head.status === 200) return duplex
  readAnswer(head.status, await readText(duplex))
  throw new RunnerCallError(head.status, `status ${head.status}`)
}

/** PUTs all of `source` and returns the runner's reply. Throws RunnerCallError, and the error of `source`. */
export async function upload(peer: TunnelPeer, transfer: Transfer & { source: Readable }): Promise<unknown> {
  const { path, source, signal } = transfer
  signal.throwIfAborted()
  const { duplex, response } = openDuplex(peer, { method: 'PUT', path, headers: {} })
  // After all is sent nothing else listens for errors, but the link may still fail.
  duplex.on('error', () => undefined)
  addAbortSignal(signal, duplex)
  const sent = pipeline(source, duplex, { signal })
  const answered = response.then(async ({ status }) => readAnswer(status, await readText(duplex)))
  // Both may fail together, but only one error is thrown below.
  for (const outcome of [sent, answered]) outcome.catch(() => undefined)
  try {
    // A runner that refuses the rest replies before all is sent.
    await Promise.race([sent, answered])
    return await answered
  } finally {
    duplex.destroy()
  }
}

async function readText(duplex: Duplex): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of duplex) {
    const part = Buffer.from(chunk)
    bytes += part.length
    if (bytes > MAX_ANSWER_BYTES) throw new RunnerCallError(0, 'the runner answered with something unexpected')
    chunks.push(part)
  }
  return Buffer.concat(chunks).toString('utf8')
}
