import { AppError } from '@atoll/protocol'
import type { InputPipe } from '../process/output-pipes.ts'

/** Most input that a command has not read yet, beyond what its pipe holds, in bytes. */
export const MAX_UNREAD_INPUT_BYTES = 1024 * 1024

/** The input of one async command, held open until the command ends. */
export interface CommandInput extends Disposable {
  /** Adds a missing newline and returns what is sent. Throws RATE_LIMITED when the command does not read. */
  send(data: string): Buffer
  /** Connects the input of a command that has started: input sent before goes into its pipe first. */
  open(pipe: InputPipe): void
}

export function createCommandInput(): CommandInput {
  let early: Buffer[] = []
  let earlyBytes = 0
  let pipe: InputPipe | undefined
  return {
    send(data) {
      const bytes = Buffer.from(data.endsWith('\n') ? data : `${data}\n`)
      if (earlyBytes + (pipe?.writer.writableLength ?? 0) + bytes.length > MAX_UNREAD_INPUT_BYTES) {
        throw new AppError('RATE_LIMITED', `the command has ${MAX_UNREAD_INPUT_BYTES} bytes of input to read first`)
      }
      if (pipe !== undefined) pipe.writer.write(bytes)
      else {
        early.push(bytes)
        earlyBytes += bytes.length
      }
      return bytes
    },
    open(opened) {
      pipe = opened
      // The pipe's errors need no handling: the command's end is reported elsewhere.
      opened.writer.on('error', () => {})
      for (const bytes of early) opened.writer.write(bytes)
      early = []
      earlyBytes = 0
    },
    [Symbol.dispose]() {
      pipe?.[Symbol.dispose]()
      early = []
    },
  }
}
