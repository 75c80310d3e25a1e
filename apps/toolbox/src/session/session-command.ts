import type { SessionCommand as CommandView } from '@atoll/protocol'
import type { CommandInput } from './command-input.ts'
import type { OutputLog } from './output-log.ts'

/** The longest text of a command that is remembered whole, in characters. */
export const MAX_SHOWN_CHARS = 64 * 1024

/** A command of a session, waiting, running or ended. */
export interface SessionCommand {
  readonly id: string
  readonly shown: string
  readonly log: OutputLog
  /** The input of an async command; undefined for a sync one. */
  readonly input: CommandInput | undefined
  readonly echoesInput: boolean
  /** Set once all output of the command is in the log. */
  exitCode: number | undefined
  /** Whether its session's shell ended before the command could run. */
  neverRan: boolean
  /** Resolves when `exitCode` is set. */
  readonly done: Promise<void>
  settle(): void
}

export function createSessionCommand(options: {
  id: string
  text: string
  log: OutputLog
  input: CommandInput | undefined
  echoesInput: boolean
}): SessionCommand {
  const { id, text, log, input, echoesInput } = options
  let settle = () => {}
  const done = new Promise<void>((resolve) => {
    settle = resolve
  })
  const shown = text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}… [cut]` : text
  return { id, shown, log, input, echoesInput, exitCode: undefined, neverRan: false, done, settle }
}

/** Returns the command as the contract shows it. */
export function describeCommand({ id, shown, exitCode }: SessionCommand): CommandView {
  return { id, command: shown, ...(exitCode === undefined ? {} : { exitCode }) }
}
