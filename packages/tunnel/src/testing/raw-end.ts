import { FLAG_END, FRAME_HEADER_BYTES, type FrameType, frameTypes, writeFrameHeader } from '../frame.ts'
import { encodeHello, helloFor } from '../handshake.ts'
import { resolveLimits } from '../limits.ts'
import { createPeer } from '../peer.ts'
import type { TunnelError } from '../tunnel-error.ts'
import type { Link, PeerOptions, TunnelPeer } from '../types.ts'
import { createMemoryLinkPair, type MemoryLink } from './memory-link.ts'

/** Returns a frame as bytes. */
export function rawFrame(
  type: FrameType | number,
  exchangeId: number,
  options: { payload?: Uint8Array | string; end?: boolean } = {},
): Buffer {
  const { payload: given = '' } = options
  const payload = typeof given === 'string' ? Buffer.from(given, 'latin1') : Buffer.from(given)
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length)
  const flags = options.end === true ? FLAG_END : 0
  writeFrameHeader(frame, 0, { type: type as FrameType, flags, exchangeId, length: payload.length })
  payload.copy(frame, FRAME_HEADER_BYTES)
  return frame
}

export function helloFrame(): Buffer {
  return rawFrame(frameTypes.hello, 0, { payload: encodeHello(helloFor(resolveLimits())) })
}

export interface SeenFrame {
  type: number
  end: boolean
  exchangeId: number
  payload: Buffer
}

/** Returns the frames of a peer's message. */
export function framesOf(message: Buffer): SeenFrame[] {
  const frames: SeenFrame[] = []
  for (let offset = 0; offset < message.length; ) {
    const end = offset + FRAME_HEADER_BYTES + message.readUInt16BE(offset + 2)
    frames.push({
      type: message[offset] ?? 0,
      end: message[offset + 1] === FLAG_END,
      exchangeId: message.readUInt32BE(offset + 4),
      payload: message.subarray(offset + FRAME_HEADER_BYTES, end),
    })
    offset = end
  }
  return frames
}

/** A peer whose other end is a test that writes its frames by hand. */
export interface RawEnd {
  peer: TunnelPeer
  link: MemoryLink
  /** Frames the peer has sent so far. */
  seen: SeenFrame[]
  send(...frames: Buffer[]): void
  /** Resolves with the error that ended the peer's link. */
  closed: Promise<Error & { code: string }>
  closeCode: Promise<number>
}

/** Starts a peer in the role `listener` and sends it a HELLO, unless `greet` is false. */
export function startRawEnd(options: Omit<PeerOptions, 'role'> & { greet?: boolean } = {}): RawEnd {
  const { greet = true, ...peerOptions } = options
  const [link, far] = createMemoryLinkPair()
  const seen: SeenFrame[] = []
  let tellCode: (code: number) => void = () => {}
  const closeCode = new Promise<number>((resolve) => {
    tellCode = resolve
  })
  far.attach({ onMessage: (message) => seen.push(...framesOf(message)), onDrain() {}, onClose: tellCode })
  const peer = createPeer(link, { ...peerOptions, role: 'listener' })
  const send = (...frames: Buffer[]) => sendWhole(far, Buffer.concat(frames))
  if (greet) send(helloFrame())
  return { peer, link, seen, send, closed: peer.whenClosed as Promise<TunnelError>, closeCode }
}

/** Sends a whole buffer as one message. */
export function sendWhole(link: Link, bytes: Buffer): void {
  link.send({ slab: bytes, start: 0, end: bytes.length }, () => {})
}
