import { FRAME_HEADER_BYTES } from './frame.ts'
import { MAX_SLOTS } from './stream-slots.ts'
import type { TunnelLimits } from './types.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** The default bounds of a peer. docs/spec/tunnel.md says what each protects. */
export const tunnelLimits: Readonly<TunnelLimits> = Object.freeze({
  maxFrameBytes: 16 * KIB,
  maxHeadBytes: 32 * KIB,
  maxStreams: 4096,
  openingWindowBytes: 64 * KIB,
  initialWindowBytes: 256 * KIB,
  maxWindowBytes: 4 * MIB,
  maxLinkWindowBytes: 32 * MIB,
  maxLinkBufferBytes: 128 * KIB,
  pingIntervalMs: 15_000,
  idleTimeoutMs: 45_000,
  handshakeTimeoutMs: 10_000,
})

/** The length field of a frame has 16 bits, and so has the one of a WebSocket message that holds a single frame. */
const MAX_MESSAGE_BYTES = 0xffff
const MAX_HEAD_BYTES = MAX_MESSAGE_BYTES - FRAME_HEADER_BYTES

const MIN_FRAME_BYTES = 64

/** Adds the defaults to partial limits. Throws a RangeError for values the wire format cannot express. */
export function resolveLimits(partial: Partial<TunnelLimits> = {}): TunnelLimits {
  const limits = { ...tunnelLimits, ...partial }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value <= 0) throw new RangeError(`${name} must be a positive integer`)
  }
  if (limits.maxStreams > MAX_SLOTS) throw new RangeError(`maxStreams must be at most ${MAX_SLOTS}`)
  if (limits.maxHeadBytes > MAX_HEAD_BYTES) throw new RangeError(`maxHeadBytes must be at most ${MAX_HEAD_BYTES}`)
  if (limits.maxFrameBytes > MAX_MESSAGE_BYTES || limits.maxFrameBytes < MIN_FRAME_BYTES) {
    throw new RangeError(`maxFrameBytes must be from ${MIN_FRAME_BYTES} to ${MAX_MESSAGE_BYTES}`)
  }
  limits.initialWindowBytes = Math.max(limits.initialWindowBytes, limits.openingWindowBytes)
  limits.maxWindowBytes = Math.max(limits.maxWindowBytes, limits.initialWindowBytes)
  return limits
}
