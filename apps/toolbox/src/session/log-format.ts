import type { Headers } from '@atoll/tunnel'
import { sdkVersion } from '../channels/channel.ts'
import { isSince } from '../channels/sdk-version.ts'

/**
 * The format of a log for a client, §17.4 of the contract: `plain` merges the streams, `marked` tells them apart by bytes
 * before each line, `split` has a field for each where the answer is JSON, and is marked where the answer is a stream.
 */
export type LogFormat = 'plain' | 'marked' | 'split'

/** Returns the format for the client that sends these headers or offers these subprotocols. */
export function logFormat(headers: Headers, offered: readonly string[] = []): LogFormat {
  const version = sdkVersion(headers, offered)
  if (isSince(version, [0, 167, 0])) return 'split'
  const wantsSplit = String(headers['x-daytona-split-output']).toLowerCase() === 'true'
  return wantsSplit || isSince(version, [0, 27, 0]) ? 'marked' : 'plain'
}
