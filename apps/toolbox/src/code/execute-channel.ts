import type { codeChannels, InterpreterExecuteRequest } from '@atoll/protocol'
import { AppError, InterpreterExecuteRequest as RequestSchema } from '@atoll/protocol'
import type { ChannelHandler } from '../channels/channel.ts'
import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_POLICY } from '../channels/channel-socket.ts'
import type { Shape } from '../check-shape.ts'
import { checkShape } from '../check-shape.ts'
import { checkVariables } from '../command-environment.ts'
import { parseJson } from '../parse-json.ts'
import type { Execution } from './interpreter-context.ts'
import type { InterpreterContexts } from './interpreter-contexts.ts'
import { DEFAULT_CONTEXT } from './interpreter-contexts.ts'

/** How long a client may take to send its code, in milliseconds. */
const REQUEST_DEADLINE_MS = 30_000

/** Executes the code of a client's first message, sends its output and events, and closes. */
export function createExecuteChannel(
  contexts: () => Promise<InterpreterContexts>,
): ChannelHandler<(typeof codeChannels)['executeInterpreterCode']> {
  return async () => {
    const known = await contexts()
    return { attach: (socket) => serve(socket, known) }
  }
}

function serve(socket: ChannelSocket, contexts: InterpreterContexts): void {
  let execution: Execution | undefined
  let asked = false
  const timer = setTimeout(() => socket.close(CLOSE_POLICY, 'no code came'), REQUEST_DEADLINE_MS)
  socket.listen({
    onMessage(message) {
      // Later messages are not expected, and are ignored.
      if (asked) return
      asked = true
      clearTimeout(timer)
      try {
        const request = readRequest(message)
        execution = contexts.find(request.contextId ?? DEFAULT_CONTEXT).execute(request, {
          send: (frame) => socket.send(JSON.stringify(frame)),
          close: (code, reason) => socket.close(code, reason),
        })
      } catch (error) {
        socket.close(CLOSE_POLICY, error instanceof AppError ? error.message : 'a bad request')
      }
    },
    onDrain: () => execution?.resume(),
    onClose() {
      clearTimeout(timer)
      execution?.leave()
    },
  })
}

function readRequest(message: Buffer): InterpreterExecuteRequest {
  const shape: Shape = RequestSchema
  // A message that has passed the schema has its type.
  const request = checkShape(shape, parseJson(message), 'request') as InterpreterExecuteRequest
  checkVariables('envs', request.envs)
  if (request.code.trim() === '') throw new AppError('VALIDATION_FAILED', 'request: code must not be empty')
  return request
}
