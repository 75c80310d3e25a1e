import { setTimeout as delay } from 'node:timers/promises'

/** Text that arrives in pieces, read with or without waiting. */
export interface TextSource {
  /** Returns the text there is now, valid until the turn of the event loop ends or the next call; empty if there is none. */
  read(): Promise<readonly { readonly bytes: Buffer }[]>
  /** Waits until it is known whether more text comes, and resolves with that. */
  more(): Promise<boolean>
}

/** The largest chunk for clients that need no smaller ones, in bytes. */
export const MAX_TEXT_CHUNK_BYTES = 60 * 1024
/**
 * The largest chunk for SDKs that need the pauses, in bytes. Each chunk, and the head of the answer before it, must fit
 * in one frame of 16 KiB of each tunnel on its way: these SDKs lose the second part of a chunk that comes in two.
 */
export const MAX_PACED_TEXT_CHUNK_BYTES = 12 * 1024
/** The pause before each chunk: the readers of the old SDKs miss chunks that come closer together. */
const COLLECT_MS = 50
/** The pause before the end: those readers also miss a chunk that comes closer than this to the end. */
const END_PAUSE_MS = 100
const NEWLINE = 0x0a

/**
 * Yields the text in chunks that end with a whole character and, of a backlog, with a whole line. The receiver may keep
 * each chunk. `paced` spaces them out for SDKs before 0.27, see §17.4 of the contract.
 */
export async function* textChunks(
  source: TextSource,
  { paced, signal }: { paced: boolean; signal: AbortSignal },
): AsyncGenerator<Buffer> {
  const pause = async (ms: number) => {
    if (paced) await delay(ms, undefined, { signal })
  }
  const maxBytes = paced ? MAX_PACED_TEXT_CHUNK_BYTES : MAX_TEXT_CHUNK_BYTES
  let pending: Buffer = Buffer.alloc(0)
  while (chunkSize(pending, maxBytes) > 0 || (await source.more())) {
    await pause(COLLECT_MS)
    if (pending.length < maxBytes) pending = await fill(pending, source)
    const size = chunkSize(pending, maxBytes)
    if (size > 0) yield pending.subarray(0, size)
    pending = pending.subarray(size)
  }
  if (pending.length > 0) {
    await pause(COLLECT_MS)
    yield pending
  }
  await pause(END_PAUSE_MS)
}

/** Adds the text there is to `pending`, until that is more than a chunk or there is no more. */
async function fill(pending: Buffer, source: TextSource): Promise<Buffer> {
  let filled = pending
  while (filled.length < MAX_TEXT_CHUNK_BYTES) {
    const pieces = await source.read()
    if (pieces.length === 0) break
    filled = Buffer.concat([filled, ...pieces.map(({ bytes }) => bytes)])
  }
  return filled
}

function chunkSize(pending: Buffer, maxBytes: number): number {
  if (pending.length <= maxBytes) return wholeCharacters(pending)
  const newline = pending.lastIndexOf(NEWLINE, maxBytes - 1)
  return newline === -1 ? wholeCharacters(pending.subarray(0, maxBytes)) : newline + 1
}

/** Returns the length without a UTF-8 character at the end whose other bytes have not come yet. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) break
    if (byte >= 0xc0) return characterBytes(byte) > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

function characterBytes(first: number): number {
  if (first >= 0xf0) return 4
  return first >= 0xe0 ? 3 : 2
}
