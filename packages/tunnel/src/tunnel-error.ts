import type { TunnelErrorCode } from './types.ts'

/**
 * The one error of the tunnel. `code` says what a caller can do about it; `status` is the HTTP status with which a
 * server refused to be dialled, where there was one.
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

/** For a peer that breaks the protocol: thrown while its message is read, and ends its link. */
export function violation(message: string): TunnelError {
  return new TunnelError('PROTOCOL_ERROR', message)
}

/** Codes as they travel in a RESET frame. A number once given is never given again. */
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

/** The number for a RESET frame; codes that only make sense at this end travel as CANCELLED. */
export function resetCodeNumber(code: TunnelErrorCode): number {
  return resetCodes[code] ?? 1
}

/** The code a RESET frame carries; a number from a newer peer reads as CANCELLED. */
export function resetCodeFromNumber(number: number): TunnelErrorCode {
  return codesByNumber.get(number) ?? 'CANCELLED'
}
