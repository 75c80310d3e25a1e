import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Session as SessionView } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { FeatureParts } from '../feature.ts'
import { createCommandInput } from './command-input.ts'
import { openCommandStreams } from './command-streams.ts'
import { endProcesses } from './end-processes.ts'
import type { LogStore } from './log-store.ts'
import type { SessionCommand } from './session-command.ts'
import { createSessionCommand, describeCommand } from './session-command.ts'
import type { SessionShell } from './session-shell.ts'
import { startShell } from './session-shell.ts'

/** Commands of one session that may wait for their turn. */
export const MAX_WAITING_COMMANDS = 64
/** Text of the waiting commands of one session, in characters: as much as one request body may have. */
const MAX_WAITING_CHARS = 4 * 1024 * 1024
/** Commands of one session that are remembered; the oldest ended one is forgotten first. */
const MAX_COMMANDS = 1000
/** Text of the remembered commands of one session, in characters. */
const MAX_SHOWN_CHARS_IN_ALL = 1024 * 1024
/** How long deleting waits for a shell that the kernel cannot end, as on a file system that hangs. */
const UNKILLABLE_DEADLINE_MS = 5_000
/** The exit code of a command that could not run. */
const NOT_RUN = -1
/** A variable in the environment of every process that a session starts, by which those processes are found. */
const MARK_VARIABLE = 'ATOLL_SESSION'

export interface SessionParts extends Pick<FeatureParts, 'work' | 'groups' | 'pipes' | 'commandEnv'> {
  readonly store: LogStore
  /** The time from SIGTERM to SIGKILL. */
  readonly graceMs: number
  /** The shell to start; absent: one is looked for. */
  readonly shellFile?: string
}

interface Waiting {
  readonly command: SessionCommand
  readonly text: string
}

/** One long-lived shell that runs commands one after another, and the commands that are remembered. */
export class Session implements AsyncDisposable {
  readonly id: string
  readonly #parts: SessionParts
  readonly #shell: SessionShell
  readonly #mark: string
  readonly #commands = new Map<string, SessionCommand>()
  readonly #waiting: Waiting[] = []
  #running = false
  /** The reason why no command runs any more; undefined while commands run. */
  #over: 'deleted' | 'ended' | undefined

  private constructor(id: string, parts: SessionParts, { shell, mark }: { shell: SessionShell; mark: string }) {
    this.id = id
    this.#parts = parts
    this.#shell = shell
    this.#mark = mark
    void shell.exited.then(() => {
      this.#over ??= 'ended'
    })
  }

  /** Starts a session. Throws SERVICE_UNAVAILABLE when no shell can be started. */
  static async start(id: string, parts: SessionParts): Promise<Session> {
    const value = randomUUID()
    const { work, commandEnv, groups, pipes, shellFile } = parts
    const env = { ...commandEnv, [MARK_VARIABLE]: value }
    const shell = await startShell({ cwd: work.dir, env, groups, pipes, file: shellFile })
    return new Session(id, parts, { shell, mark: `${MARK_VARIABLE}=${value}` })
  }

  describe(): SessionView {
    return { sessionId: this.id, commands: [...this.#commands.values()].map(describeCommand) }
  }

  /** Returns the command. Throws NOT_FOUND. */
  command(id: string): SessionCommand {
    const command = this.#commands.get(id)
    if (command === undefined) throw new AppError('NOT_FOUND', `session ${this.id} has no command ${id.slice(0, 100)}`)
    return command
  }

  /** The reason why no command runs any more; undefined while commands run. */
  get over(): 'deleted' | 'ended' | undefined {
    return this.#over
  }

  /** Queues a command behind the earlier ones. Throws SESSION_ENDED, BAD_REQUEST (deleted) and RATE_LIMITED. */
  execute(text: string, options: { takesInput: boolean; echoesInput: boolean }): SessionCommand {
    if (this.#over !== undefined) throw overError(this)
    const chars = this.#waiting.reduce((sum, { text }) => sum + text.length, text.length)
    if (this.#waiting.length >= MAX_WAITING_COMMANDS || (this.#waiting.length > 0 && chars > MAX_WAITING_CHARS)) {
      throw new AppError('RATE_LIMITED', `${this.#waiting.length} commands of session ${this.id} are waiting already`)
    }
    const command = createSessionCommand({
      id: randomUUID(),
      text,
      log: this.#parts.store.createLog(this),
      input: options.takesInput ? createCommandInput() : undefined,
      echoesInput: options.echoesInput,
    })
    this.#commands.set(command.id, command)
    this.#forgetOldest()
    this.#waiting.push({ command, text })
    // `#runAll` never rejects.
    if (!this.#running) void this.#runAll()
    return command
  }

  /** Sends input. Throws SESSION_ENDED, COMMAND_ALREADY_COMPLETED, BAD_REQUEST for a sync command, and RATE_LIMITED. */
  sendInput(command: SessionCommand, data: string): void {
    if (command.exitCode !== undefined) {
      if (this.#over !== undefined) throw overError(this)
      throw new AppError('COMMAND_ALREADY_COMPLETED', `command ${command.id} has ended`)
    }
    if (command.input === undefined) throw new AppError('BAD_REQUEST', 'only commands that run async take input')
    const sent = command.input.send(data)
    if (command.echoesInput) command.log.append('stdout', sent)
  }

  /** Ends all processes the session has started, SIGTERM before SIGKILL, and removes its logs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = 'deleted'
    await endProcesses({ group: this.#shell.pid, mark: this.#mark, graceMs: this.#parts.graceMs })
    // The end of the shell ends the running command and the waiting ones.
    const done = Promise.all([...this.#commands.values()].map((command) => command.done))
    await Promise.race([done, delay(UNKILLABLE_DEADLINE_MS, undefined, { ref: false })])
    for (const { log } of this.#commands.values()) log.release()
  }

  async #runAll(): Promise<void> {
    this.#running = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { command } = next
      command.exitCode = this.#over === undefined ? await this.#run(next) : this.#skip(command)
      command.input?.[Symbol.dispose]()
      command.log.finish()
      command.settle()
    }
    this.#running = false
  }

  #skip(command: SessionCommand): number {
    command.neverRan = true
    command.log.append('stderr', Buffer.from('the session ended before this command ran\n'))
    return NOT_RUN
  }

  async #run({ command, text }: Waiting): Promise<number> {
    try {
      const streams = await openCommandStreams(command, { text, pipes: this.#parts.pipes })
      const exitCode = await this.#shell.run(streams.shellCommand)
      streams.close()
      return exitCode
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      command.log.append('stderr', Buffer.from(`cannot run the command: ${reason}\n`))
      return NOT_RUN
    }
  }

  #forgetOldest(): void {
    let chars = [...this.#commands.values()].reduce((sum, { shown }) => sum + shown.length, 0)
    for (const command of this.#commands.values()) {
      if (this.#commands.size <= MAX_COMMANDS && chars <= MAX_SHOWN_CHARS_IN_ALL) return
      if (command.exitCode === undefined) continue
      this.#commands.delete(command.id)
      command.log.release()
      chars -= command.shown.length
    }
  }
}

/** Returns the error for a command of a session that was deleted or has ended. */
export function overError({ id, over }: Session): AppError {
  return over === 'deleted'
    ? new AppError('BAD_REQUEST', `session ${id} was deleted`)
    : new AppError('SESSION_ENDED', `the shell of session ${id} has ended`)
}
