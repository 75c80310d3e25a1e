/** Held bytes are copied into blocks, so that many small pieces do not each keep a large buffer alive. */
const BLOCK_BYTES = 16 * 1024

/** A first-in, first-out queue of bytes. It takes the memory of the bytes it holds, rounded up to one block. */
export class ByteQueue {
  private blocks: Buffer[] = []
  private lastUsed = 0
  private total = 0

  get length(): number {
    return this.total
  }

  push(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.length) {
      let last = this.blocks.at(-1)
      if (last === undefined || this.lastUsed === last.length) {
        last = Buffer.allocUnsafeSlow(BLOCK_BYTES)
        this.blocks.push(last)
        this.lastUsed = 0
      }
      const bytes = Math.min(chunk.length - offset, last.length - this.lastUsed)
      last.set(chunk.subarray(offset, offset + bytes), this.lastUsed)
      this.lastUsed += bytes
      offset += bytes
    }
    this.total += chunk.length
  }

  /** Removes and returns the oldest bytes, at most one block. `length` must be above 0. */
  shift(): Buffer {
    const block = this.blocks.shift() ?? Buffer.alloc(0)
    const bytes = this.blocks.length === 0 ? block.subarray(0, this.lastUsed) : block
    this.total -= bytes.length
    return bytes
  }

  clear(): void {
    this.blocks = []
    this.total = 0
  }
}
