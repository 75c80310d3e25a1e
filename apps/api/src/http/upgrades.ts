import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError, errorBody } from '@atoll/protocol'
import { pathOf } from './error-handler.ts'
import { endWithError } from './raw-answer.ts'

/** Answers a request to upgrade with an error, as plain HTTP, and closes its socket. */
export function refuseUpgrade(request: IncomingMessage, socket: Duplex, error?: AppError): void {
  const path = pathOf(request.url)
  const refusal = error ?? new AppError('NOT_FOUND', `Cannot upgrade ${path}`)
  const context = { source: 'DAYTONA_API', method: request.method ?? '', path, now: Date.now() } as const
  const body = errorBody(refusal, context)
  // The client may be gone by now, which does no harm.
  socket.on('error', () => socket.destroy())
  endWithError(socket, body)
}
