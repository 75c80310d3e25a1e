import { FRAME_HEADER_BYTES } from './frame.ts'
import { tunnelLimits } from './limits.ts'

/** The longest message of either end, in bytes: its longest frame. */
const MAX_MESSAGE_BYTES = Math.max(tunnelLimits.maxFrameBytes, tunnelLimits.maxHeadBytes) + FRAME_HEADER_BYTES

/** The time allowed for a close before the connection is dropped. */
const CLOSE_TIMEOUT_MS = 2_000

/**
 * The options of `ws` at both ends. Compression is off: it costs memory on each connection and most of the speed.
 * Messages are sent unfragmented, so only a few fragments are allowed.
 */
export const webSocketOptions = {
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  maxFragments: 16,
  maxBufferedChunks: 4096,
  skipUTF8Validation: true,
  closeTimeout: CLOSE_TIMEOUT_MS,
}
