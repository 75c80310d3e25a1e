import type { TunnelErrorCode } from './types.ts'

/**
 * The only error class of the tunnel. `code` tells a caller how to handle it; `status` is the HTTP status with which a
 * server refused the tunnel, if there was one.
 */
export class TunnelError extends Error {
  readonly code: TunnelErrorCode
  readonly status: number | undefined

  constructor(code: TunnelErrorCode, message: string, options: ErrorOptions & { status?: number } = {}) {
    super(message, options)
    this.name = 'TunnelError'
    this.code = code
    this.status = options.status
  }
}

/** Returns the error for a peer that breaks the protocol: thrown while its message is read, it ends the link. */
export function violation(message: string): TunnelError {
  return new TunnelError('PROTOCOL_ERROR', message)
}

/** The numbers of the codes in a RESET frame. A number is never given to another code. */
const resetCodes: Partial<Record<TunnelErrorCode, number>> = {
  CANCELLED: 1,
  HANDLER_FAILED: 2,
  TOO_MANY_STREAMS: 3,
  LINK_CLOSED: 4,
  HEAD_TOO_LARGE: 5,
  DEADLINE_EXCEEDED: 6,
  BODY_TOO_LARGE: 7,
}

const codesByNumber = new Map(
  Object.entries(resetCodes).map(([code, number]) => [number, code as TunnelErrorCode] as const),
)

/** Returns the number for a RESET frame; a code that has none is sent as CANCELLED. */
export function resetCodeNumber(code: TunnelErrorCode): number {
  return resetCodes[code] ?? 1
}

/** Returns the code for a number of a RESET frame; an unknown one, from a newer peer, is read as CANCELLED. */
export function resetCodeFromNumber(number: number): TunnelErrorCode {
  return codesByNumber.get(number) ?? 'CANCELLED'
}
