import { StringDecoder } from 'node:string_decoder'

/** The most output kept of one command, in bytes. */
export const MAX_OUTPUT_BYTES = 10 * 1024 * 1024
/** The most output held for all commands that run at the same time, in bytes. */
const MAX_HELD_BYTES = 64 * 1024 * 1024

const FIRST_CAPACITY_BYTES = 4096

/** Bytes that recorders may still take, over all commands. */
export interface OutputBudget {
  left: number
}

export function createOutputBudget(): OutputBudget {
  return { left: MAX_HELD_BYTES }
}

/** Keeps the first part of a command's output. */
export interface OutputRecorder {
  take(chunk: Buffer): void
  /** Returns the output as UTF-8, other bytes replaced; it ends with a notice when something was cut. */
  text(): string
  /** Gives the memory back to the budget; later chunks are ignored. */
  release(): void
}

export function createOutputRecorder(budget: OutputBudget): OutputRecorder {
  let bytes = Buffer.alloc(0)
  let kept = 0
  let dropped = 0
  let released = false

  /** Appends to one growing buffer: a list of chunks would cost 100 bytes for each byte of a command that writes singly. */
  function append(part: Buffer): void {
    if (kept + part.length > bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_CAPACITY_BYTES, 2 * (kept + part.length)))
      bytes.copy(grown, 0, 0, kept)
      bytes = grown
    }
    part.copy(bytes, kept)
    kept += part.length
  }

  return {
    take(chunk) {
      if (released) return
      const room = dropped > 0 ? 0 : Math.min(chunk.length, MAX_OUTPUT_BYTES - kept, budget.left)
      append(chunk.subarray(0, room))
      budget.left -= room
      dropped += chunk.length - room
    },
    text() {
      const output = bytes.subarray(0, kept)
      if (dropped === 0) return output.toString()
      // The decoder holds back a character that the cut left incomplete.
      return `${new StringDecoder('utf8').write(output)}\n[output cut: ${dropped} more bytes were not kept]\n`
    },
    release() {
      if (released) return
      released = true
      budget.left += kept
      bytes = Buffer.alloc(0)
    },
  }
}
