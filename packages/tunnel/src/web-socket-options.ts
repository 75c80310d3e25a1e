import { FRAME_HEADER_BYTES } from './frame.ts'
import { tunnelLimits } from './limits.ts'

/** The longest message either end makes: its longest frame. */
const MAX_MESSAGE_BYTES = Math.max(tunnelLimits.maxFrameBytes, tunnelLimits.maxHeadBytes) + FRAME_HEADER_BYTES

/** How long a close may take before the connection is dropped. */
const CLOSE_TIMEOUT_MS = 2_000

/**
 * How both ends set `ws` up. Compression is off: it costs memory on each connection and most of the speed. Messages
 * come whole, so fragments are bounded to a few.
 */
export const webSocketOptions = {
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  maxFragments: 16,
  maxBufferedChunks: 4096,
  skipUTF8Validation: true,
  closeTimeout: CLOSE_TIMEOUT_MS,
}
