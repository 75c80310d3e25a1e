import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import type { CommandLine } from './command-line.ts'
import { dieFirst } from './die-first.ts'
import type { OutputPipe } from './output-pipes.ts'
import type { OutputRecorder } from './output-recorder.ts'
import type { ProcessGroups } from './process-groups.ts'

/** The exit code of a command that could not start. */
export const SPAWN_FAILURE = -1
/** Shells' convention: 128 and the number of the signal. */
const SIGNAL_BASE = 128
/** Each turn reads at least 64 KiB, so that all of them read more than the largest pipe holds. */
const MAX_DRAIN_TURNS = 32

export interface RunOptions {
  line: CommandLine
  cwd: string
  env: Readonly<Record<string, string>>
  /** Without a pipe the two streams are read from Node's own sockets. */
  pipe: OutputPipe | undefined
  recorder: OutputRecorder
  groups: ProcessGroups
}

export interface RunningCommand {
  readonly pid: number
  /** Resolves with the exit code once the shell has exited and all its output is recorded. Never rejects. */
  readonly done: Promise<number>
}

/**
 * Starts a command as the leader of its own group, with an empty stdin. Rejects with Node's error when it cannot start.
 * Processes it leaves in the background keep a reader, so that writing does not end them.
 */
export async function runCommand(options: RunOptions): Promise<RunningCommand> {
  const { line, pipe, recorder, groups } = options
  const child = start(options)
  let arrivals = 0
  const take = (chunk: Buffer) => {
    arrivals += 1
    recorder.take(chunk)
  }
  const outputs: Readable[] =
    pipe === undefined ? [child.stdout, child.stderr].filter((s) => s !== null) : [pipe.reader]
  pipe?.listen(take)
  for (const output of outputs) {
    // An error ends that output as its end does.
    output.on('error', () => {})
    if (pipe === undefined) output.on('data', take)
  }
  const ended = Promise.all(outputs.map((output) => new Promise((resolve) => output.once('close', resolve))))
  const exited = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal])),
    )
  })
  const pid = await spawned(child)
  groups.add(pid)
  feed(child, line.script)
  const done = exited.then(async (code) => {
    groups.leaderExited(pid)
    await Promise.race([ended, quiet(() => arrivals)])
    return code
  })
  return { pid, done }
}

function start({ line, cwd, env, pipe }: RunOptions): ChildProcess {
  try {
    const output = pipe?.writeFd ?? 'pipe'
    const child = spawn(line.file, line.args, {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', output, output, ...(line.script === undefined ? [] : ['pipe' as const])],
    })
    dieFirst(child.pid)
    return child
  } finally {
    // The command has its own descriptor by now; the pipe does not end while ours is open.
    if (pipe !== undefined) closeSync(pipe.writeFd)
  }
}

async function spawned(child: ChildProcess): Promise<number> {
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  child.on('error', () => {})
  return child.pid ?? 0
}

function feed(child: ChildProcess, script: string | undefined): void {
  const input = child.stdio[3]
  if (script === undefined || input === undefined || input === null || !('end' in input)) return
  // A shell that ends before it has read its script closes the pipe.
  input.on('error', () => {})
  input.end(script)
}

/**
 * Resolves when a whole turn of the event loop has brought no output: after the shell's exit all its output is readable,
 * and later output of background processes is not waited for.
 */
async function quiet(arrivals: () => number): Promise<void> {
  for (let turn = 0; turn < MAX_DRAIN_TURNS; turn += 1) {
    const before = arrivals()
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    if (arrivals() === before) return
  }
}
