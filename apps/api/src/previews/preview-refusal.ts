import type { ErrorCode } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'

/** The reason why a preview is not shown, for a program and for a person. */
export interface PreviewRefusal {
  readonly error: AppError
  /** A few words. */
  readonly title: string
  /** Tells the visitor what they can do. */
  readonly hint: string
}

export const refusals = {
  noAddress: () =>
    refuse('NOT_FOUND', 'There is no preview at this address', {
      title: 'No preview here',
      hint: 'The address of a preview begins with a port, a hyphen and the id of a sandbox.',
    }),
  noSandbox: () =>
    refuse('SANDBOX_NOT_FOUND', 'The sandbox of this preview does not exist', {
      title: 'This sandbox does not exist',
      hint: 'It may have been deleted, or the address is not whole.',
    }),
  noLink: () =>
    refuse('NOT_FOUND', 'This link does not exist or has expired', {
      title: 'This link has expired',
      hint: 'A link to a preview is open for a time only. Ask whoever sent it for a new one.',
    }),
  noToken: () =>
    refuse('UNAUTHORIZED', 'This preview is private: it takes the token of its sandbox', {
      title: 'This preview is private',
      hint: 'Open it by the link that comes with its token, or ask its owner to make the sandbox public.',
    }),
  wrongToken: () =>
    refuse('UNAUTHORIZED', 'The token does not open this preview', {
      title: 'This token is not valid',
      hint: 'A sandbox gets a new token each time it is started. Ask for a new link.',
    }),
  notRunning: () =>
    refuse('PREVIEW_NOT_RUNNING', 'The sandbox of this preview is not running', {
      title: 'This sandbox is not running',
      hint: 'Start it, then load this page again.',
    }),
  nothingListens: (port: number) =>
    refuse('PORT_UNREACHABLE', `Nothing answers on port ${port} of the sandbox`, {
      title: `Nothing listens on port ${port}`,
      hint: 'Start a server on this port in the sandbox, then load this page again.',
    }),
  unreachable: () =>
    refuse('TOOLBOX_UNREACHABLE', 'The sandbox of this preview is not connected', {
      title: 'This sandbox cannot be reached',
      hint: 'It runs, but has no connection at this moment. Load this page again.',
    }),
  tooSlow: () =>
    refuse('GATEWAY_TIMEOUT', 'The server in the sandbox gave no answer in time', {
      title: 'No answer came in time',
      hint: 'The server in the sandbox took the request, but its answer did not begin.',
    }),
  tooMany: () =>
    refuse('SERVICE_UNAVAILABLE', 'Too many requests to this sandbox are under way', {
      title: 'This sandbox is busy',
      hint: 'Too many requests to it are under way. Load this page again.',
    }),
  brokenOff: () =>
    refuse('BAD_GATEWAY', 'The server in the sandbox broke the call off', {
      title: 'The answer broke off',
      hint: 'The server in the sandbox ended the call before it answered.',
    }),
  badRequest: (message: string) =>
    refuse('BAD_REQUEST', message, { title: 'This request cannot be passed on', hint: message }),
  failed: () =>
    refuse('INTERNAL_SERVER_ERROR', 'Internal server error', {
      title: 'Something failed here',
      hint: 'It is none of the sandbox. Load this page again.',
    }),
} as const

function refuse(code: ErrorCode, message: string, page: { title: string; hint: string }): PreviewRefused {
  return new PreviewRefused(new AppError(code, message), page)
}

/** Thrown when a preview must not be shown. */
export class PreviewRefused extends Error implements PreviewRefusal {
  override readonly name = 'PreviewRefused'
  readonly error: AppError
  readonly title: string
  readonly hint: string

  constructor(error: AppError, page: { title: string; hint: string }) {
    super(error.message)
    this.error = error
    this.title = page.title
    this.hint = page.hint
  }
}
