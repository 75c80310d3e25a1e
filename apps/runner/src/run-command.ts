import { spawn } from 'node:child_process'

/** Most bytes of each output stream that are kept; a command that writes more is killed. */
export const MAX_COMMAND_OUTPUT_BYTES = 1024 * 1024
/** How long a command may take unless its caller says otherwise, in milliseconds. */
const COMMAND_DEADLINE_MS = 30_000
/** Most characters of a command's own error output that an error message repeats. */
const MAX_COMPLAINT_CHARACTERS = 2_000

export interface CommandOptions {
  /** Milliseconds until the command is killed. */
  deadlineMs?: number
  /** Written to its standard input, which is closed afterwards. */
  input?: string
  /** Exit codes that are not a failure; [0] when absent. */
  accept?: readonly number[]
  /** Whether it is killed when this process ends, however this process ends. */
  endsWithRunner?: boolean
}

export interface CommandResult {
  code: number
  stdout: string
  stderr: string
}

/** Runs a program without a shell and with a fixed environment. Rejects with CommandError. */
export type RunCommand = (argv: readonly [string, ...string[]], options?: CommandOptions) => Promise<CommandResult>

/** Thrown when a command could not be started, failed, wrote too much or took too long. The message quotes its output. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  /** Exit code; undefined when the command never started or was killed. */
  readonly code: number | undefined
  readonly stderr: string

  constructor(message: string, details: { code?: number | undefined; stderr?: string; cause?: unknown } = {}) {
    super(message, { cause: details.cause })
    this.code = details.code
    this.stderr = details.stderr ?? ''
  }
}

/** Returns the environment of commands: all system folders on PATH, even where the runner's has no sbin, and plain messages. */
export function commandEnvironment(): Record<string, string> {
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }
}

/** Returns the command line that makes a long-running program end with this process, however this process ends. */
export function boundToRunner(argv: readonly string[]): [program: string, ...args: string[]] {
  return ['setpriv', '--pdeathsig', 'KILL', '--', ...argv]
}

/**
 * Begins the command line of a script that mounts. Its mounts, and all programs that it started, end with the script. A program
 * that outlived its script would keep the mounts and the script's output open, and the caller waiting beyond the deadline.
 */
export const WITH_ALL_IT_STARTS = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--'] as const

export const runCommand: RunCommand = (argv, options = {}) =>
  new Promise((resolve, reject) => {
    const [program] = argv
    const [started, ...args] = options.endsWithRunner ? boundToRunner(argv) : argv
    const deadlineMs = options.deadlineMs ?? COMMAND_DEADLINE_MS
    const child = spawn(started, args, { cwd: '/', env: commandEnvironment(), stdio: ['pipe', 'pipe', 'pipe'] })
    let failure: string | undefined
    const end = (reason: string) => {
      failure ??= reason
      child.kill('SIGKILL')
    }
    const stdout = collect(child.stdout, () => end('wrote too much'))
    const stderr = collect(child.stderr, () => end('wrote too much'))
    const timer = setTimeout(() => end(`took longer than ${deadlineMs} ms`), deadlineMs)
    child.stdin.on('error', () => {
      // The program ended without reading its input; its exit code says whether that is a failure.
    })
    child.stdin.end(options.input ?? '')
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(new CommandError(`${program} could not be started: ${error.message}`, { cause: error }))
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const result = { code: code ?? -1, stdout: stdout(), stderr: stderr() }
      if (failure === undefined && code !== null && (options.accept ?? [0]).includes(code)) return resolve(result)
      const why = failure ?? (code === null ? `was ended by ${signal}` : `exited ${code}`)
      const complaint = (result.stderr || result.stdout).trim().slice(0, MAX_COMPLAINT_CHARACTERS)
      const message = `${program} ${why}${complaint === '' ? '' : `: ${complaint}`}`
      reject(new CommandError(message, { code: code ?? undefined, stderr: result.stderr }))
    })
  })

function collect(stream: NodeJS.ReadableStream, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size <= MAX_COMMAND_OUTPUT_BYTES) chunks.push(chunk)
    else onTooMuch()
  })
  return () => Buffer.concat(chunks).toString('utf8')
}
