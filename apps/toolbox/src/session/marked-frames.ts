import type { LogPiece } from './log-reader.ts'
import type { OutputStream } from './output-log.ts'

/** The largest frame: the SDKs pass a whole message to a function as arguments, one for each byte, on the stack. */
export const FRAME_BYTES = 32 * 1024
/** Pieces of output up to this are marked line by line, longer ones once a frame. */
export const LINEWISE_BYTES = 4 * 1024
const MARKS = { stdout: Buffer.alloc(3, 1), stderr: Buffer.alloc(3, 2) } as const satisfies Record<OutputStream, Buffer>
const NEWLINE = 0x0a

/**
 * Puts the mark of its stream before each line, and before the rest of a line that the other stream has interrupted.
 * Keeps its state between calls: use one for each reader. The receiver may keep the frames.
 * NOTE: bulk output is marked at the start of each frame only. A mark counts until the next, so clients read the same;
 * but the SDKs copy all they hold at each mark, which makes a megabyte of short lines cost them half a second.
 */
export function createMarker(): (pieces: readonly LogPiece[]) => Buffer[] {
  let current: OutputStream | undefined
  let lineStart = true

  function addLines(frames: Frames, { stream, bytes }: LogPiece): void {
    let at = 0
    while (at < bytes.length) {
      if (lineStart || stream !== current) frames.mark(MARKS[stream])
      current = stream
      const newline = bytes.indexOf(NEWLINE, at)
      lineStart = newline !== -1
      const end = lineStart ? newline + 1 : bytes.length
      frames.put(bytes.subarray(at, end))
      at = end
    }
  }

  function addBulk(frames: Frames, { stream, bytes }: LogPiece): void {
    let at = 0
    while (at < bytes.length) {
      frames.mark(MARKS[stream])
      const end = Math.min(bytes.length, at + frames.room())
      frames.put(bytes.subarray(at, end))
      at = end
    }
    current = stream
    lineStart = bytes.at(-1) === NEWLINE
  }

  return (pieces) => {
    const frames = createFrames()
    for (const piece of pieces) {
      if (piece.bytes.length > LINEWISE_BYTES) addBulk(frames, piece)
      else addLines(frames, piece)
    }
    return frames.done()
  }
}

interface Frames {
  /** Puts a mark in a frame with room for output after it: SDK 0.218 takes a mark that ends a frame for output. */
  mark(bytes: Buffer): void
  put(bytes: Buffer): void
  /** Returns how many bytes fit in the current frame. */
  room(): number
  done(): Buffer[]
}

function createFrames(): Frames {
  const full: Buffer[] = []
  let frame = Buffer.allocUnsafeSlow(FRAME_BYTES)
  let length = 0
  function next(): void {
    full.push(frame.subarray(0, length))
    frame = Buffer.allocUnsafeSlow(FRAME_BYTES)
    length = 0
  }
  function put(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (length === FRAME_BYTES) next()
      const copied = bytes.copy(frame, length, at)
      length += copied
      at += copied
    }
  }
  return {
    mark(bytes) {
      if (FRAME_BYTES - length <= bytes.length) next()
      put(bytes)
    },
    room: () => FRAME_BYTES - length,
    put,
    done: () => (length === 0 ? full : [...full, frame.subarray(0, length)]),
  }
}
