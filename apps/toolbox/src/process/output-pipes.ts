import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { close, constants, openSync, readSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Pipes made at a time, and kept for reuse. */
const BATCH_SIZE = 8
const MAKE_DEADLINE_MS = 15_000
/** Bytes read at a time. */
const READ_BYTES = 64 * 1024
/** A pipe of an unprivileged user holds at most 1 MiB, 16 reads: any more was written after draining began. */
const MAX_DRAINS = 16

/** A real pipe for the output of one command. */
export interface OutputPipe {
  /** Used for the command's stdout and stderr alike; close it once the command has it. */
  readonly writeFd: number
  /** The path where this user's processes can open the writing end, while `writeFd` is open. */
  readonly path: string
  /** Reads until every holder of the writing end is gone, and then gives the pipe back. Do not use its `data` events. */
  readonly reader: Socket
  /** Passes on every chunk that is read from now on; a chunk is valid until `take` returns. */
  listen(take: (chunk: Buffer) => void): void
  /** Passes on at once all that is in the pipe, also while the reader is paused. Needs `writeFd` open. */
  drain(): void
}

/** A real pipe for the input of one command. It never breaks: unread input is dropped when the pipe is disposed. */
export interface InputPipe extends Disposable {
  /** The path where this user's processes can open the reading end. */
  readonly path: string
  readonly writer: Socket
}

/** Makes pipes, and owns the pipes that no command uses. */
export interface OutputPipes extends Disposable {
  /** Returns undefined where no pipe can be made: no mkfifo, no room for temporary files, no /proc. */
  take(): Promise<OutputPipe | undefined>
  /** Returns a pipe for input, or undefined as `take` does. */
  takeInput(): Promise<InputPipe | undefined>
}

/**
 * Node gives a child sockets where others give pipes: its two streams then arrive in no certain order, and a script
 * that writes to /dev/stderr fails, since a socket cannot be opened by name. So commands get one named pipe for both
 * streams, unlinked as soon as it is open, and opened anew through /proc for each command.
 */
export function createOutputPipes(env: Readonly<Record<string, string>>): OutputPipes {
  const idle: number[] = []
  // One buffer serves all pipes: each chunk is handed over before anything else is read.
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  let making: Promise<void> | undefined
  let usable = true

  async function make(): Promise<void> {
    try {
      idle.push(...(await makePipes(env)))
    } catch {
      // Commands then run with sockets, which lack only what the comment above describes.
      usable = false
    } finally {
      making = undefined
    }
  }

  function giveBack(fd: number, empty: boolean): void {
    if (empty && usable && idle.length < BATCH_SIZE) idle.push(fd)
    else closeQuietly(fd)
  }

  async function takeKept<Pipe>(open: (kept: number) => Pipe): Promise<Pipe | undefined> {
    while (idle.length === 0 && usable) {
      making ??= make()
      await making
    }
    const kept = idle.pop()
    if (kept === undefined) return undefined
    try {
      return open(kept)
    } catch {
      closeQuietly(kept)
      return undefined
    }
  }

  return {
    take: () => takeKept((kept) => openPipe({ kept, buffer }, (empty) => giveBack(kept, empty))),
    takeInput: () => takeKept(openInput),
    [Symbol.dispose]() {
      usable = false
      for (const fd of idle.splice(0)) closeQuietly(fd)
    },
  }
}

/** Opens both ends. `kept` is a reading end of its own, so that the pipe outlives its users; pipes may share `buffer`. */
function openPipe({ kept, buffer }: { kept: number; buffer: Buffer }, onClose: (empty: boolean) => void): OutputPipe {
  const readFd = openSync(`/proc/self/fd/${kept}`, constants.O_RDONLY | constants.O_NONBLOCK)
  let writeFd: number
  try {
    writeFd = openSync(`/proc/self/fd/${kept}`, constants.O_WRONLY)
  } catch (error) {
    closeQuietly(readFd)
    throw error
  }
  let take: (chunk: Buffer) => void = () => {}
  const onRead = (length: number, bytes: Uint8Array) => {
    take(Buffer.from(bytes.buffer, bytes.byteOffset, length))
    return !reader.isPaused()
  }
  // `onread` exists since Node 10, but is missing in the types of the constructor.
  const options = { fd: readFd, readable: true, writable: false, onread: { buffer, callback: onRead } }
  const reader = new Socket(options)
  let empty = false
  reader.once('end', () => {
    empty = true
  })
  reader.once('close', () => onClose(empty))
  return {
    writeFd,
    path: pathOf(kept),
    reader,
    listen(given) {
      take = given
    },
    drain() {
      for (let turn = 0; turn < MAX_DRAINS; turn += 1) {
        const length = readNow(readFd, buffer)
        if (length === 0) return
        take(buffer.subarray(0, length))
      }
    },
  }
}

/** Opens the writing end. The pipe is not reused: the next command would get the unread input. */
function openInput(kept: number): InputPipe {
  const writeFd = openSync(`/proc/self/fd/${kept}`, constants.O_WRONLY | constants.O_NONBLOCK)
  const writer = new Socket({ fd: writeFd, readable: false, writable: true })
  // Closes last: once closed, the number may be given to another file.
  writer.once('close', () => closeQuietly(kept))
  return { path: pathOf(kept), writer, [Symbol.dispose]: () => void writer.destroy() }
}

function pathOf(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`
}

/** Returns 0 when there is nothing to read. */
function readNow(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0
    throw error
  }
}

async function makePipes(env: Readonly<Record<string, string>>): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), `.atoll-${randomBytes(4).toString('hex')}-`))
  try {
    const names = Array.from({ length: BATCH_SIZE }, (_, index) => join(folder, String(index)))
    await promisify(execFile)('mkfifo', ['-m', '600', ...names], { env: { ...env }, timeout: MAKE_DEADLINE_MS })
    return names.map((name) => openSync(name, constants.O_RDONLY | constants.O_NONBLOCK))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function closeQuietly(fd: number): void {
  // Closing fails only for an invalid number, and these numbers are ours.
  close(fd, () => {})
}
