import type { Finder } from './literal.ts'

interface Search {
  finder: Finder
  signal: AbortSignal
}

const NOTHING = Buffer.alloc(0)
/** Bytes written at a time, about. */
const WRITE_BYTES = 64 * 1024

/** Returns whether a content that arrives in pieces contains the text. */
export async function holdsPiece(pieces: AsyncIterable<Buffer>, { finder, signal }: Search): Promise<boolean> {
  let rest: Buffer = NOTHING
  for await (const piece of gathered(pieces, finder.length)) {
    signal.throwIfAborted()
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    if (finder.indexIn(bytes, 0) >= 0) return true
    rest = bytes.subarray(Math.max(0, bytes.length - finder.length + 1))
  }
  return false
}

/** Yields the content with every occurrence replaced, from left to right; one that overlaps an earlier one stays. */
export async function* replacePieces(
  pieces: AsyncIterable<Buffer>,
  { finder, newValue }: Search & { newValue: Buffer },
): AsyncGenerator<Buffer> {
  const ready = createGatherer()
  let rest: Buffer = NOTHING
  for await (const piece of gathered(pieces, finder.length)) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let position = 0
    for (let at = finder.indexIn(bytes, 0); at >= 0; at = finder.indexIn(bytes, position)) {
      if (ready.add(bytes.subarray(position, at), newValue)) yield ready.take()
      position = at + finder.length
    }
    // The last bytes could be the beginning of an occurrence that ends in the next piece.
    const settled = Math.max(position, bytes.length - finder.length + 1)
    if (ready.add(bytes.subarray(position, settled))) yield ready.take()
    rest = bytes.subarray(settled)
  }
  ready.add(rest)
  yield ready.take()
}

/** Joins output into fewer pieces, because the text may occur at every other byte. */
function createGatherer() {
  let held: Buffer[] = []
  let length = 0
  return {
    /** Adds pieces, and returns whether there are enough bytes to take. */
    add(...pieces: Buffer[]): boolean {
      held.push(...pieces)
      for (const piece of pieces) length += piece.length
      return length >= WRITE_BYTES
    },
    take(): Buffer {
      const joined = Buffer.concat(held)
      held = []
      length = 0
      return joined
    },
  }
}

/** Yields pieces at least as long as the text, except the last, so that each byte is copied a few times at most. */
async function* gathered(pieces: AsyncIterable<Buffer>, minBytes: number): AsyncGenerator<Buffer> {
  let held: Buffer[] = []
  let length = 0
  for await (const piece of pieces) {
    held.push(piece)
    length += piece.length
    if (length < minBytes) continue
    yield held.length === 1 ? piece : Buffer.concat(held)
    held = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(held)
}
