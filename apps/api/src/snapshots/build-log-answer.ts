import { AppError } from '@atoll/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isSdkAtLeast } from '../http/sdk-version.ts'
import type { BuildLogs } from './build-logs.ts'
import type { SnapshotRow } from './snapshot-table.ts'

/** The first SDK that reads a stream correctly in pieces of any size. */
const FIRST_CAREFUL_SDK = '0.27.0'

/** Sends the log of a build, until the build ends when the caller follows it. */
export async function answerBuildLog(
  request: FastifyRequest<{ Querystring: { follow?: boolean | undefined } }>,
  reply: FastifyReply,
  { logs, row }: { logs: BuildLogs; row: SnapshotRow },
): Promise<FastifyReply> {
  const gone = new AbortController()
  const leave = () => gone.abort(new AppError('BAD_REQUEST', 'The client closed the connection'))
  reply.raw.once('close', leave)
  const follow = request.query.follow ?? false
  const paced = !isSdkAtLeast(request, FIRST_CAREFUL_SDK)
  const stream = await logs.open(row, { follow, paced, signal: gone.signal }).catch((error: unknown) => {
    throw gone.signal.aborted ? gone.signal.reason : error
  })
  return reply.type('text/plain; charset=utf-8').send(stream)
}
