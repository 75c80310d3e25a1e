import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { constants as osConstants } from 'node:os'
import { basename } from 'node:path'
import { AppError } from '@atoll/protocol'
import { isExecutable } from '../find-program.ts'
import { dieFirst } from '../process/die-first.ts'
import type { OutputPipes } from '../process/output-pipes.ts'
import type { ProcessGroups } from '../process/process-groups.ts'

const SHELLS_FILE = '/etc/shells'
/** Shells in the order of preference. */
const PREFERRED = ['zsh', 'bash']
const PLAIN_SHELL = '/bin/sh'
/** Shells' convention: 128 and the number of the signal. */
const SIGNAL_BASE = 128
/** Most characters kept of the shell's own output, of which only the status lines matter. */
const MAX_STATUS_CHARS = 4096
const NAME = '__atoll_status'

/** A command for the shell, and the paths where its streams can be opened. */
export interface ShellCommand {
  /** Letters, digits and dashes. */
  readonly id: string
  readonly text: string
  /** The path of the text if it is long: from its own input the shell reads single bytes. */
  readonly script: string | undefined
  readonly stdin: string
  readonly stdout: string
  readonly stderr: string
}

/** One shell process that runs commands one after another. */
export interface SessionShell {
  readonly pid: number
  /**
   * Resolves with the command's exit code, or with the shell's own if the command has ended the shell. Call it for one
   * command at a time.
   */
  run(command: ShellCommand): Promise<number>
  /** Resolves with the shell's exit code; for a signal, 128 and the signal's number. */
  readonly exited: Promise<number>
}

/** Starts the shell as the leader of its own group. Throws SERVICE_UNAVAILABLE when it cannot be started. */
export async function startShell(options: {
  cwd: string
  env: Readonly<Record<string, string>>
  groups: ProcessGroups
  pipes: Pick<OutputPipes, 'takeInput'>
  /** The shell to start; absent: one is looked for. */
  file?: string | undefined
}): Promise<SessionShell> {
  const { groups, env } = options
  const file = options.file ?? (await findShell())
  const cwd = (await isDirectory(options.cwd)) ? options.cwd : '/'
  const { words, input } = await scriptOf(file, options.pipes)
  const stdio = ['pipe', 'pipe', 'ignore'] as const
  const child = spawn(file, words, { argv0: basename(file), cwd, env, detached: true, stdio: [...stdio] })
  dieFirst(child.pid)
  const writer = input?.writer ?? child.stdin
  // The `exit` event tells of the shell's end, so stream errors need no handling.
  for (const stream of [child.stdin, writer]) stream.on('error', () => {})
  if (input !== undefined) child.once('close', () => input[Symbol.dispose]())
  const exited = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) => {
      groups.leaderExited(child.pid ?? 0)
      const exitCode = code ?? SIGNAL_BASE + (signal === null ? 0 : osConstants.signals[signal])
      // Waits two turns, so that a status the shell has printed is read first.
      setImmediate(() => setImmediate(resolve, exitCode))
    })
  })
  await once(child, 'spawn').catch((error: unknown) => {
    input?.[Symbol.dispose]()
    throw new AppError('SERVICE_UNAVAILABLE', `cannot start ${file}: ${error instanceof Error ? error.message : error}`)
  })
  child.on('error', () => {})
  const pid = child.pid ?? 0
  groups.add(pid)
  const statuses = readStatuses(child.stdout)
  const prefix = builtinPrefix(file)
  // Sets the name by which a bash that reads a script calls itself, also in its messages.
  if (input !== undefined) writer.write(`BASH_ARGV0=${basename(file)}\n`)
  writer.write(`${NAME}() { return "$1"; }\n`)
  let lastCode = 0
  return {
    pid,
    exited,
    async run(command) {
      const status = statuses.of(command.id)
      writer.write(shellInput(command, { prefix, lastCode }))
      lastCode = await Promise.race([status, exited])
      return lastCode
    },
  }
}

/**
 * Opens a pipe from which bash reads its commands, and returns bash's arguments. bash 5.2 crashes when a command whose
 * input is redirected copies that input (`exec 3<&0`) while the shell reads its commands from its own input.
 */
async function scriptOf(file: string, pipes: Pick<OutputPipes, 'takeInput'>) {
  const input = basename(file) === 'bash' ? await pipes.takeInput() : undefined
  return { words: input === undefined ? [] : [input.path], input }
}

/**
 * Returns what to write to the shell. `eval` and `.` run the command in the shell itself, with streams that the shell
 * restores afterwards, whatever the command does to them. The status then goes to the shell's own stdout, a descriptor
 * that no command ever has.
 */
function shellInput(command: ShellCommand, { prefix, lastCode }: { prefix: string; lastCode: number }): string {
  const { id, text, script, stdin, stdout, stderr } = command
  // Sets `$?` to the previous status; under `set -e` that would end the shell.
  const recall = lastCode === 0 ? '' : `case $- in (*e*) ;; (*) ${NAME} ${lastCode};; esac\n`
  const run = script === undefined ? `eval ${quote(text)}` : `. ${script}`
  return `${recall}${prefix} ${run} <${stdin} >${stdout} 2>${stderr}\n${prefix} printf '\\n%s %s\\n' ${id} "$?"\n`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** Returns the builtin that bypasses the user's functions and keeps a syntax error in `eval` from ending a POSIX shell. */
function builtinPrefix(file: string): string {
  return PREFERRED.includes(basename(file)) ? 'builtin' : 'command'
}

function readStatuses(output: NodeJS.ReadableStream): { of(id: string): Promise<number> } {
  let text = ''
  let waiting: { pattern: RegExp; resolve: (code: number) => void } | undefined
  output.setEncoding('utf8')
  output.on('error', () => {})
  output.on('data', (piece: string) => {
    text = (text + piece).slice(-MAX_STATUS_CHARS)
    const code = waiting?.pattern.exec(text)?.[1]
    if (code === undefined) return
    waiting?.resolve(Number(code))
    waiting = undefined
    text = ''
  })
  return {
    of: (id) =>
      new Promise((resolve) => {
        waiting = { pattern: new RegExp(`^${id} (\\d{1,3})$\\n`, 'm'), resolve }
      }),
  }
}

/** Returns the first preferred shell that `/etc/shells` names and that exists, else `/bin/sh`. */
async function findShell(): Promise<string> {
  const lines = (await readFile(SHELLS_FILE, 'utf8').catch(() => '')).split('\n').map((line) => line.trim())
  for (const name of PREFERRED) {
    for (const line of lines) {
      if (line.startsWith('/') && basename(line) === name && (await isExecutable(line))) return line
    }
  }
  return PLAIN_SHELL
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
}
