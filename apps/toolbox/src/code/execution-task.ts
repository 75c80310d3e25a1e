import type { InterpreterExecuteRequest } from '@atoll/protocol'
import { CLOSE_NORMAL } from '../channels/channel-socket.ts'

/** Who has asked for an execution. */
export interface ExecutionClient {
  /** Returns false when it should be given no more until `Execution.resume`. */
  send(frame: Readonly<Record<string, unknown>>): boolean
  close(code: number, reason?: string): void
}

/** Code to be executed, and its client until that is answered or gone. */
export interface ExecutionTask {
  readonly request: InterpreterExecuteRequest
  /** False once the client was answered or has left: then nothing is sent any more. */
  readonly wanted: boolean
  /** As the client's. */
  send(frame: Readonly<Record<string, unknown>>): boolean
  /** The last frame, and the close. */
  complete(how: 'completed' | 'interrupted'): void
  close(code: number, reason?: string): void
  leave(): void
}

export function createExecutionTask(request: InterpreterExecuteRequest, given: ExecutionClient): ExecutionTask {
  let client: ExecutionClient | undefined = given
  function close(code: number, reason?: string): void {
    const closing = client
    client = undefined
    closing?.close(code, reason)
  }
  return {
    request,
    get wanted() {
      return client !== undefined
    },
    send: (frame) => client?.send(frame) ?? true,
    complete(how) {
      client?.send({ type: 'control', text: how })
      close(CLOSE_NORMAL)
    },
    close,
    leave() {
      client = undefined
    },
  }
}
