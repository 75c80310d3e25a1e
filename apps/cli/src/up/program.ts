import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { ProcessIdentity, SupervisorMessage } from '@atoll/service'
import { identifyProcess } from '@atoll/service'
import { readLines } from './read-lines.ts'
import { StartError } from './start-error.ts'

/** A part of the system that runs as a process of its own. */
export interface Program {
  readonly name: string
  /** The script that Node runs. */
  readonly main: string
  readonly nodeOptions?: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** The longest time until it reports that it is ready, in milliseconds. */
  readonly readyWithinMs: number
}

export interface RunningProgram {
  readonly identity: ProcessIdentity
  /** Resolves with the program's public address, if it has one. Rejects with StartError once it has ended before. */
  readonly ready: Promise<string | undefined>
  /** Resolves, with a description, when the program has ended. */
  readonly ended: Promise<string>
  signal(name: NodeJS.Signals): void
}

/** Starts a program; `onLine` gets each line it logs. */
export function startProgram(program: Program, onLine: (line: string) => void): RunningProgram {
  const child = spawn(process.execPath, [...(program.nodeOptions ?? []), program.main], {
    env: { ...program.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // The program gets a process group of its own: Ctrl-C reaches only the supervisor, which ends its programs in order.
    detached: true,
  })
  for (const stream of [child.stdout, child.stderr]) if (stream) readLines(stream, onLine)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ? `killed by ${signal}` : `status ${code}`))
    child.once('error', (error) => resolve(error.message))
  })
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid)
  return {
    identity: identity ?? { pid: child.pid ?? 0, start: 'never started' },
    ready: waitUntilReady(program, child, ended),
    ended,
    signal: (name) => void child.kill(name),
  }
}

async function waitUntilReady(program: Program, child: ChildProcess, ended: Promise<string>) {
  let reason: string | undefined
  const ready = new Promise<{ url: string | undefined }>((resolve) => {
    child.on('message', (message) => {
      if (!isSupervisorMessage(message)) return
      if (message.type === 'ready') resolve({ url: message.url })
      else reason = message.message
    })
  })
  const timer = setTimeout(() => {
    reason = `was not ready within ${program.readyWithinMs / 1000} s`
    child.kill('SIGKILL')
  }, program.readyWithinMs)
  const outcome = await Promise.race([ready, ended])
  clearTimeout(timer)
  if (typeof outcome === 'object') return outcome.url
  throw new StartError(`the ${program.name} cannot start: ${reason ?? `it ended with ${outcome}`}`)
}

function isSupervisorMessage(message: unknown): message is SupervisorMessage {
  if (typeof message !== 'object' || message === null) return false
  const { type, url, message: text } = message as Record<string, unknown>
  if (type === 'ready') return url === undefined || typeof url === 'string'
  return type === 'failed' && typeof text === 'string'
}
