import { TunnelError } from './tunnel-error.ts'
import type { TunnelErrorCode } from './types.ts'

/** The WebSocket close code for each reason to close; codes from 4000 are the application's own. */
export const closeCodes = {
  LINK_CLOSED: 1000,
  PROTOCOL_ERROR: 4000,
  VERSION_MISMATCH: 4001,
} as const satisfies Partial<Record<TunnelErrorCode, number>> as Partial<Record<TunnelErrorCode, number>> & {
  LINK_CLOSED: number
}

/** Close codes by which a WebSocket reports that its peer broke a rule. */
const webSocketViolations = new Set([1002, 1003, 1007, 1008, 1009])

/** Returns the error for the users of a link that was closed with this code. */
export function closeError(code: number, reason: string): TunnelError {
  const because = reason === '' ? `code ${code}` : `code ${code}: ${reason}`
  if (code === closeCodes.VERSION_MISMATCH)
    return new TunnelError('VERSION_MISMATCH', `the other end closed, ${because}`)
  if (code === closeCodes.PROTOCOL_ERROR || webSocketViolations.has(code)) {
    return new TunnelError('PROTOCOL_ERROR', `the link was closed, ${because}`)
  }
  return new TunnelError('LINK_CLOSED', `the link was closed, ${because}`)
}
