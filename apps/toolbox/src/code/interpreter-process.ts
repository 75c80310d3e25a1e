import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type { OutputPipe, OutputPipes } from '../process/output-pipes.ts'
import type { ProcessGroups } from '../process/process-groups.ts'
import { howToInstall, INTERPRETER_COMMAND } from './code-line.ts'
import type { ExecutionListener } from './interpreter-streams.ts'
import { createInterpreterStreams } from './interpreter-streams.ts'
import type { OutputSource } from './marked-output.ts'

const MARK_BYTES = 16

/** The reason why an interpreter has ended; the message is for the caller. */
export class InterpreterEnded extends Error {
  override readonly name = 'InterpreterEnded'
}

/** Thrown when the sandbox has no Python; the message says how to install it. */
export class PythonMissing extends Error {
  override readonly name = 'PythonMissing'
}

/** One running interpreter. Output of its code while nothing is executed is dropped. */
export interface InterpreterProcess {
  /** Executes one piece of code at a time. Rejects with InterpreterEnded when the interpreter ends. */
  execute(request: { code: string; envs: Readonly<Record<string, string>> }, listener: ExecutionListener): Promise<void>
  /** Stops and continues reading the interpreter's output, so that the interpreter waits. */
  pause(): void
  resume(): void
  /** Interrupts the interpreter and its children, as Ctrl-C in a terminal does. */
  interrupt(): void
  /** Ends the interpreter and its children: SIGTERM, then SIGKILL. Returns at once. */
  end(): void
  readonly alive: boolean
}

export interface InterpreterOptions {
  cwd: string
  env: Readonly<Record<string, string>>
  pipes: OutputPipes
  groups: ProcessGroups
}

/** Starts a Python interpreter. Throws PythonMissing, and Node's error where it cannot start for another reason. */
export async function startInterpreter(options: InterpreterOptions): Promise<InterpreterProcess> {
  const { groups } = options
  const { child, outputs } = await start(options)
  const pid = child.pid ?? 0
  groups.add(pid)
  const [requests, events] = [child.stdio[3] as Writable, child.stdio[4] as Readable]
  requests.on('error', () => {})
  const streams = createInterpreterStreams({ outputs, events, onDone: () => settle(), onFault: () => groups.end(pid) })
  let current: { resolve(): void; reject(error: Error): void } | undefined
  let ended: InterpreterEnded | undefined

  function settle(error?: Error): void {
    const settling = current
    current = undefined
    streams.listen(undefined)
    if (error === undefined) settling?.resolve()
    else settling?.reject(error)
  }

  child.once('exit', (code, signal) => {
    groups.leaderExited(pid)
    // Processes that it has left running have no reader.
    groups.end(pid)
    const why = new InterpreterEnded(
      `the interpreter ended (${signal ?? `exit status ${code}`}); its variables are lost`,
    )
    ended = why
    void streams.drain().then(() => {
      settle(why)
      streams.close()
      requests.destroy()
    })
  })

  return {
    execute({ code, envs }, listener) {
      if (ended !== undefined) return Promise.reject(ended)
      const mark = `\0${randomBytes(MARK_BYTES).toString('hex')}\0`
      streams.expect(Buffer.from(mark))
      streams.listen(listener)
      requests.write(`${JSON.stringify({ code, envs, mark })}\n`)
      return new Promise((resolve, reject) => {
        current = { resolve, reject }
      })
    },
    pause: () => streams.pause(),
    resume: () => streams.resume(),
    interrupt() {
      if (ended === undefined) interruptGroup(pid)
    },
    end: () => groups.end(pid),
    get alive() {
      return ended === undefined
    },
  }
}

interface Started {
  child: ChildProcess
  outputs: readonly [OutputSource, OutputSource]
}

async function start({ cwd, env, pipes }: InterpreterOptions): Promise<Started> {
  const own = [await pipes.take(), await pipes.take()]
  try {
    const child = spawn('python3', INTERPRETER_COMMAND, {
      cwd,
      env: { ...env },
      detached: true,
      stdio: ['ignore', own[0]?.writeFd ?? 'pipe', own[1]?.writeFd ?? 'pipe', 'pipe', 'pipe'],
    })
    for (const pipe of own) if (pipe !== undefined) closeSync(pipe.writeFd)
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    child.on('error', () => {})
    return { child, outputs: [outputOf(own[0], child.stdout), outputOf(own[1], child.stderr)] }
  } catch (error) {
    for (const pipe of own) pipe?.reader.destroy()
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new PythonMissing(howToInstall('python'), { cause: error })
    }
    throw error
  }
}

function outputOf(pipe: OutputPipe | undefined, stream: Readable | null): OutputSource {
  if (pipe !== undefined) return { stream: pipe.reader, listen: pipe.listen }
  if (stream === null) throw new Error('a started interpreter has no output')
  return { stream, listen: (take) => void stream.on('data', take) }
}

function interruptGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGINT')
  } catch {
    // ESRCH: the group has just ended.
  }
}
