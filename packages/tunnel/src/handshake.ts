import { TunnelError, violation } from './tunnel-error.ts'
import type { TunnelLimits } from './types.ts'

/** The versions of the wire format this code speaks. */
const PROTOCOL_VERSIONS = { least: 1, most: 1 } as const

const MAGIC = 0x41_54_4c_4e // "ATLN"
const HELLO_BYTES = 20

/** The first frame of each end: the versions it speaks and the bounds that the other end must keep. */
export interface Hello {
  leastVersion: number
  mostVersion: number
  /** The bytes that the other end may send on a new exchange before it is granted more. */
  openingWindowBytes: number
  /** How many exchanges the other end may have open. */
  maxStreams: number
  maxHeadBytes: number
}

export function helloFor(limits: TunnelLimits): Hello {
  return {
    leastVersion: PROTOCOL_VERSIONS.least,
    mostVersion: PROTOCOL_VERSIONS.most,
    openingWindowBytes: limits.openingWindowBytes,
    maxStreams: limits.maxStreams,
    maxHeadBytes: limits.maxHeadBytes,
  }
}

export function encodeHello(hello: Hello): Buffer {
  const payload = Buffer.alloc(HELLO_BYTES)
  payload.writeUInt32BE(MAGIC, 0)
  payload[4] = hello.leastVersion
  payload[5] = hello.mostVersion
  payload.writeUInt32BE(hello.openingWindowBytes, 8)
  payload.writeUInt32BE(hello.maxStreams, 12)
  payload.writeUInt32BE(hello.maxHeadBytes, 16)
  return payload
}

/** Reads a HELLO; a longer one comes from a newer version. Throws a violation, or VERSION_MISMATCH. */
export function decodeHello(payload: Buffer): Hello {
  if (payload.length < HELLO_BYTES || payload.readUInt32BE(0) !== MAGIC) throw violation('the first frame is no HELLO')
  const hello: Hello = {
    leastVersion: payload[4] ?? 0,
    mostVersion: payload[5] ?? 0,
    openingWindowBytes: payload.readUInt32BE(8),
    maxStreams: payload.readUInt32BE(12),
    maxHeadBytes: payload.readUInt32BE(16),
  }
  if (hello.leastVersion > PROTOCOL_VERSIONS.most || hello.mostVersion < PROTOCOL_VERSIONS.least) {
    throw new TunnelError(
      'VERSION_MISMATCH',
      `the other end speaks versions ${hello.leastVersion} to ${hello.mostVersion}, this one ` +
        `${PROTOCOL_VERSIONS.least} to ${PROTOCOL_VERSIONS.most}`,
    )
  }
  if (hello.openingWindowBytes === 0 || hello.maxStreams === 0 || hello.maxHeadBytes === 0) {
    throw violation('a HELLO leaves no room for any exchange')
  }
  return hello
}
