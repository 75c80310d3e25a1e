/** Reads a stream of chunks in pieces of the reader's size. */
export interface ByteSource {
  /** Returns the next `length` bytes in one buffer, so `length` must be small; fewer only where the stream ends. */
  take(length: number): Promise<Buffer>
  /** Yields the next `length` bytes as they arrive; fewer only where the stream ends. */
  pass(length: number): AsyncGenerator<Buffer>
}

export function createByteSource(stream: AsyncIterable<Buffer>): ByteSource {
  const chunks = stream[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const refill = async () => {
    const next = await chunks.next()
    if (next.done) return false
    rest = next.value
    return true
  }
  async function* pass(length: number): AsyncGenerator<Buffer> {
    let left = length
    while (left > 0) {
      if (rest.length === 0 && !(await refill())) return
      const piece = rest.subarray(0, left)
      rest = rest.subarray(piece.length)
      left -= piece.length
      if (piece.length > 0) yield piece
    }
  }
  return {
    pass,
    take: async (length) => {
      if (rest.length >= length) {
        const piece = rest.subarray(0, length)
        rest = rest.subarray(length)
        return piece
      }
      const pieces: Buffer[] = []
      for await (const piece of pass(length)) pieces.push(piece)
      return Buffer.concat(pieces)
    },
  }
}
