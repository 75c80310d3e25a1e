import { AppError } from '@atoll/protocol'
import type { FastifyRequest } from 'fastify'

/** Runs `work`, whose signal aborts when the client closes the connection. */
export async function withClient<Result>(
  request: FastifyRequest,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { socket } = request.raw
  const gone = new AbortController()
  const leave = () => gone.abort(new AppError('BAD_REQUEST', 'The client closed the connection'))
  socket.once('close', leave)
  try {
    return await work(gone.signal)
  } finally {
    socket.off('close', leave)
  }
}
