import type { InterpreterExecuteRequest } from '@atoll/protocol'
import { CLOSE_NORMAL } from '../channels/channel-socket.ts'

/** The client that has asked for an execution. */
export interface ExecutionClient {
  /** Returns false when the client should get no more frames until `Execution.resume`. */
  send(frame: Readonly<Record<string, unknown>>): boolean
  close(code: number, reason?: string): void
}

/** Code to be executed, and its client until the client is answered or gone. */
export interface ExecutionTask {
  readonly request: InterpreterExecuteRequest
  /** False once the client was answered or has left; nothing is sent then. */
  readonly wanted: boolean
  /** Sends a frame, as `ExecutionClient.send` does. */
  send(frame: Readonly<Record<string, unknown>>): boolean
  /** Sends the last frame and closes. */
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
