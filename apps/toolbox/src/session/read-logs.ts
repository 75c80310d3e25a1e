import { AppError } from '@atoll/protocol'
import { textChunks } from '@atoll/tunnel'
import { StreamReply } from '../call.ts'
import type { ChannelOpening } from '../channels/channel.ts'
import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_ERROR, CLOSE_NORMAL } from '../channels/channel-socket.ts'
import type { LogFormat } from './log-format.ts'
import type { JsonFields } from './log-json.ts'
import { markedText, plainText, streamJson } from './log-json.ts'
import type { LogFollower } from './log-reader.ts'
import { followLog } from './log-reader.ts'
import { createMarker } from './marked-frames.ts'
import type { OutputLog } from './output-log.ts'

/** Logs that may be sent at the same time. */
const MAX_LOG_STREAMS = 256

const JSON_TYPE = 'application/json; charset=utf-8'
const TEXT_TYPE = 'text/plain; charset=utf-8'
const BYTES_TYPE = 'application/octet-stream'

export interface LogRequest {
  readonly log: OutputLog
  readonly format: LogFormat
  readonly follow: boolean
}

/** Sends logs as answers and over channels, each from its own position in the log, a bounded number at a time. */
export interface LogStreams {
  /** Throws RATE_LIMITED. */
  reply(request: LogRequest, signal: AbortSignal): StreamReply
  /** Throws RATE_LIMITED. */
  channel(request: LogRequest): ChannelOpening
}

export function createLogStreams(): LogStreams {
  let open = 0
  const check = () => {
    if (open >= MAX_LOG_STREAMS) throw new AppError('RATE_LIMITED', `${MAX_LOG_STREAMS} logs are being read already`)
  }
  return {
    reply(request, signal) {
      check()
      open += 1
      const close = async () => {
        open -= 1
      }
      const { type, body } = answer(request, signal)
      return new StreamReply({ status: 200, headers: { 'content-type': type }, body, close })
    },
    channel(request) {
      check()
      return {
        attach(socket) {
          open += 1
          // `pump` handles its own failures.
          void pump(socket, request).finally(() => {
            open -= 1
          })
        },
      }
    },
  }
}

/** Returns the answer for a command that has ended, with its whole log. */
export function executeReply(
  { id, log, exitCode }: { id: string; log: OutputLog; exitCode: number },
  { format, signal }: { format: LogFormat; signal: AbortSignal },
): StreamReply {
  const texts: JsonFields = {
    plain: { output: plainText() },
    marked: { output: markedText },
    split: { output: plainText(), stdout: plainText('stdout'), stderr: plainText('stderr') },
  }[format]
  const body = streamJson(log, { cmdId: id, exitCode, ...texts }, signal)
  return new StreamReply({ status: 200, headers: { 'content-type': JSON_TYPE }, body })
}

function answer(
  { log, format, follow }: LogRequest,
  signal: AbortSignal,
): { type: string; body: AsyncIterable<Uint8Array> } {
  if (format === 'split' && !follow) {
    const fields = { output: plainText(), stdout: plainText('stdout'), stderr: plainText('stderr') }
    return { type: JSON_TYPE, body: streamJson(log, fields, signal) }
  }
  const follower = followLog(log, { follow, signal })
  const body = format === 'plain' ? textChunks(follower, { paced: follow, signal }) : markedFrames(follower)
  return { type: follow ? BYTES_TYPE : TEXT_TYPE, body }
}

async function* markedFrames(follower: LogFollower): AsyncGenerator<Buffer> {
  const marker = createMarker()
  while (await follower.more()) yield* marker(await follower.read())
}

/** Sends as fast as the client reads, and closes when all is sent. A client that goes away ends only its stream. */
async function pump(socket: ChannelSocket, { log, format, follow }: LogRequest): Promise<void> {
  const gone = new AbortController()
  let wake = () => {}
  socket.listen({
    onDrain: () => wake(),
    onClose() {
      gone.abort()
      wake()
    },
  })
  const { signal } = gone
  const follower = followLog(log, { follow, signal })
  const frames = format === 'plain' ? textChunks(follower, { paced: false, signal }) : markedFrames(follower)
  try {
    for await (const frame of frames) {
      if (socket.send(frame)) continue
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    socket.close(CLOSE_NORMAL)
  } catch (error) {
    if (!signal.aborted) socket.close(CLOSE_ERROR, error instanceof Error ? error.message : String(error))
  }
}
