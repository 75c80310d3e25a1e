import { closeSync, readSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { ReadStream } from 'node:tty'
import { dieFirst } from '../process/die-first.ts'
import type { NativePty } from './native-pty.ts'
import { askToRedraw, endSession } from './session-processes.ts'
import type { TerminalInput } from './terminal-input.ts'
import { createTerminalInput } from './terminal-input.ts'
import { createTerminalOutput } from './terminal-output.ts'
import type { TerminalSize } from './terminal-recorder.ts'

/** After the shell's exit, output is complete when none has come for this long, or when the terminal has closed. */
const QUIET_MS = 50
/** The most output of background processes that is read after the shell's exit, in bytes. */
const MAX_DRAIN_BYTES = 1024 * 1024
const DRAIN_DEADLINE_MS = 2_000
const READ_BYTES = 16 * 1024
/** Shells' convention: 128 and the number of the signal. */
const SIGNAL_BASE = 128
/** Tells `fork` to keep the user and the group. */
const SAME_ID = -1

/** How a shell ended. */
export interface TerminalExit {
  readonly exitCode: number
  /** Absent for exit code 0. */
  readonly exitReason?: string
}

export interface TerminalOptions {
  native: NativePty
  shell: string
  /** An absolute path of an existing directory. */
  cwd: string
  env: Readonly<Record<string, string>>
  size: TerminalSize
  /** Gets batches that end between characters; the receiver may keep them. */
  onOutput(batch: Buffer): void
  /** Called once, after the last output. */
  onExit(exit: TerminalExit): void
  onInputDrain(): void
  onInputStall(): void
}

/** A login shell in a terminal of its own. */
export interface Terminal {
  readonly input: TerminalInput
  resize(size: TerminalSize): void
  /** Stops and continues reading the programs' output; the programs wait meanwhile. */
  pause(): void
  resume(): void
  /** Makes the programs in the foreground draw themselves anew. */
  redraw(): void
  /** Ends all processes in the terminal's session. Resolves after onExit. */
  kill(): Promise<void>
}

/** Starts a shell in a new terminal. Throws an Error when the kernel gives no terminal. */
export function startTerminal(options: TerminalOptions): Terminal {
  const { native } = options
  let running = true
  let onExit: (exit: TerminalExit) => void = () => {}
  const exited = new Promise<TerminalExit>((resolve) => {
    onExit = resolve
  })
  const { stream, fd, pid } = fork(options, (code, signal) => {
    running = false
    onExit(describeExit(code, signal))
  })
  const input = createTerminalInput({
    // NOTE: Node's own stream would try again and again, in the only thread, while a program does not read.
    write: (bytes) => (stream.destroyed ? bytes.length : writeSome(fd, bytes)),
    onDrain: options.onInputDrain,
    onStall: options.onInputStall,
  })
  const output = createTerminalOutput(options.onOutput)
  stream.on('data', (piece: Buffer) => output.add(piece))
  stream.on('end', () => readRest(fd, (piece) => output.add(piece)))
  const ended = exited.then(async (exit) => {
    await drained(stream)
    input.close()
    stream.destroy()
    output.end()
    options.onExit(exit)
  })
  return {
    input,
    resize({ cols, rows }) {
      if (!stream.destroyed) native.resize(fd, cols, rows, 0, 0)
    },
    pause() {
      // After the exit the remaining output is read even if a viewer is slow.
      if (running) stream.pause()
    },
    resume: () => stream.resume(),
    redraw() {
      if (running) askToRedraw(pid)
    },
    async kill() {
      if (running) await endSession(pid)
      // A process that even SIGKILL does not end, in the midst of a system call, is not waited for.
      onExit(describeExit(0, constants.signals.SIGKILL))
      await ended
    },
  }
}

function fork(
  { native, shell, cwd, env, size }: TerminalOptions,
  onExit: (code: number, signal: number) => void,
): { stream: ReadStream; fd: number; pid: number } {
  const variables = Object.entries({ ...env, PWD: cwd }).map(([name, value]) => `${name}=${value}`)
  const args = ['-i', '-l']
  const { cols, rows } = size
  const { fd, pid } = native.fork(shell, args, variables, cwd, cols, rows, SAME_ID, SAME_ID, true, '', onExit)
  dieFirst(pid)
  try {
    const stream = new ReadStream(fd)
    // A terminal reports by EIO that no program has it open any more.
    stream.on('error', () => {})
    return { stream, fd, pid }
  } catch (error) {
    closeSync(fd)
    process.kill(pid, 'SIGKILL')
    throw error
  }
}

/**
 * Reads the output that the stream left. NOTE: libuv takes a short read (each read of a terminal is one) together with a
 * hang-up for the end, and leaves the rest unread: the last 4 KiB and more. The descriptor is still open in `end`.
 */
function readRest(fd: number, take: (piece: Buffer) => void): void {
  for (let bytes = 0; bytes < MAX_DRAIN_BYTES; ) {
    const piece = readSome(fd)
    if (piece.length === 0) return
    take(piece)
    bytes += piece.length
  }
}

/** Returns an empty buffer when nothing is left, which a terminal reports by an error. */
function readSome(fd: number): Buffer {
  const piece = Buffer.allocUnsafe(READ_BYTES)
  try {
    return piece.subarray(0, readSync(fd, piece))
  } catch {
    return piece.subarray(0, 0)
  }
}

/** Returns how many bytes the terminal took: none while it is full, all of them when no program will read them any more. */
function writeSome(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EAGAIN' ? 0 : bytes.length
  }
}

function describeExit(code: number, signal: number): TerminalExit {
  if (signal === 0) return code === 0 ? { exitCode: 0 } : { exitCode: code, exitReason: `exited with code ${code}` }
  const [name = `signal ${signal}`] = Object.entries(constants.signals).find(([, number]) => number === signal) ?? []
  return { exitCode: SIGNAL_BASE + signal, exitReason: `ended by ${name}` }
}

/** Resolves when all output from before the shell's exit has been read, or sooner when that cannot be known. */
async function drained(stream: ReadStream): Promise<void> {
  const deadline = performance.now() + DRAIN_DEADLINE_MS
  let bytes = 0
  stream.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  stream.resume()
  for (;;) {
    const before = bytes
    const closed = await closedWithin(stream, QUIET_MS)
    if (closed || bytes === before || bytes > MAX_DRAIN_BYTES || performance.now() > deadline) return
  }
}

function closedWithin(stream: ReadStream, ms: number): Promise<boolean> {
  if (stream.closed) return Promise.resolve(true)
  return new Promise((resolve) => {
    const onClose = () => {
      clearTimeout(timer)
      resolve(true)
    }
    const timer = setTimeout(() => {
      stream.off('close', onClose)
      resolve(false)
    }, ms)
    stream.once('close', onClose)
  })
}
