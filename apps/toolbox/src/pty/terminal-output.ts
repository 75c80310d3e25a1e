/** How long the first bytes of a character wait for the rest of it. */
const HOLD_MS = 500
/** Pieces are put together until they have this many bytes. */
const MAX_BATCH_BYTES = 128 * 1024

/** Joins the pieces that a terminal writes in one turn of the event loop, cut between characters. */
export interface TerminalOutput {
  add(piece: Buffer): void
  /** Emits the bytes that are left; no timer remains. */
  end(): void
}

/**
 * Joins pieces, because a terminal is read in pieces of at most 4 KiB, wherever a character ends, and the SDKs decode each
 * message alone. `emit` gets a buffer of its own each time.
 */
export function createTerminalOutput(emit: (batch: Buffer) => void): TerminalOutput {
  let pieces: Buffer[] = []
  let bytes = 0
  let turn: NodeJS.Immediate | undefined
  let hold: NodeJS.Timeout | undefined

  function flush(whole: boolean): void {
    clearImmediate(turn)
    clearTimeout(hold)
    turn = undefined
    hold = undefined
    const batch = Buffer.concat(pieces, bytes)
    const kept = whole ? 0 : unfinishedBytes(batch)
    pieces = kept === 0 ? [] : [batch.subarray(batch.length - kept)]
    bytes = kept
    if (kept > 0) hold = setTimeout(() => flush(true), HOLD_MS)
    if (batch.length > kept) emit(batch.subarray(0, batch.length - kept))
  }

  return {
    add(piece) {
      pieces.push(piece)
      bytes += piece.length
      if (bytes >= MAX_BATCH_BYTES) flush(false)
      else turn ??= setImmediate(() => flush(false))
    },
    end: () => flush(true),
  }
}

/** Returns how many bytes at the end begin a UTF-8 character whose rest is missing: 0 to 3. */
export function unfinishedBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if ((byte & 0xc0) === 0x80) continue
    return back < characterLength(byte) ? back : 0
  }
  return 0
}

function characterLength(first: number): number {
  if (first >= 0xf5) return 1
  if (first >= 0xf0) return 4
  if (first >= 0xe0) return 3
  return first >= 0xc2 ? 2 : 1
}
