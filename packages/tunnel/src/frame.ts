import { violation } from './tunnel-error.ts'

/*
 * A message holds one frame or several, end to end. A frame:
 *
 *   0        1        2                 4                                   8
 *   +--------+--------+-----------------+-----------------------------------+---------
 *   |  type  | flags  |  payload length |             exchange              | payload
 *   +--------+--------+-----------------+-----------------------------------+---------
 *
 * All numbers are big-endian. Frames about the link itself carry exchange 0.
 */

export const FRAME_HEADER_BYTES = 8

export const frameTypes = {
  hello: 1,
  request: 2,
  response: 3,
  data: 4,
  window: 5,
  stop: 6,
  reset: 7,
  ping: 8,
  pong: 9,
  goaway: 10,
} as const

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes]

/** On REQUEST, RESPONSE and DATA: the sender's half is complete with this frame. */
export const FLAG_END = 1

/** A frame, read in place in its message. One object is reused for all frames of a link. */
export interface FrameView {
  message: Buffer
  type: number
  flags: number
  exchangeId: number
  /** The payload is `message` from `start` up to `end`. */
  start: number
  end: number
}

export function createFrameView(): FrameView {
  return { message: Buffer.alloc(0), type: 0, flags: 0, exchangeId: 0, start: 0, end: 0 }
}

/** Points `view` at the frame that begins at `offset` of its message. Throws a violation if it is cut short. */
export function readFrame(view: FrameView, offset: number): void {
  const { message } = view
  const start = offset + FRAME_HEADER_BYTES
  if (start > message.length) throw violation('a message ends inside a frame header')
  view.type = message[offset] ?? 0
  view.flags = message[offset + 1] ?? 0
  view.exchangeId = message.readUInt32BE(offset + 4)
  view.start = start
  view.end = start + message.readUInt16BE(offset + 2)
  if (view.end > message.length) throw violation('a message ends inside a frame')
}

/** Writes a frame's header at `offset` of `target`. */
export function writeFrameHeader(
  target: Buffer,
  offset: number,
  frame: { type: FrameType; flags: number; exchangeId: number; length: number },
): void {
  target[offset] = frame.type
  target[offset + 1] = frame.flags
  target.writeUInt16BE(frame.length, offset + 2)
  target.writeUInt32BE(frame.exchangeId, offset + 4)
}
