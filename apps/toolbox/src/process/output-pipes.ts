import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { close, constants, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Pipes made at a time, and kept for reuse. */
const BATCH_SIZE = 8
const MAKE_DEADLINE_MS = 5_000

/** A real pipe for the output of one command. */
export interface OutputPipe {
  /** For the command's stdout and stderr alike; close it once the command has it. */
  readonly writeFd: number
  /** Reads until every holder of the writing end is gone; reading it to its end gives the pipe back. */
  readonly reader: Socket
}

/** Owns the pipes that no command uses. */
export interface OutputPipes extends Disposable {
  /** undefined where none can be made: no mkfifo, no room for temporary files, no /proc. */
  take(): Promise<OutputPipe | undefined>
}

/**
 * Node gives a child sockets where others give pipes: its two streams then arrive in no certain order, and a script
 * that writes to /dev/stderr fails, since a socket cannot be opened by name. So commands get one named pipe for both
 * streams, unlinked as soon as it is open, and opened anew through /proc for each command.
 */
export function createOutputPipes(env: Readonly<Record<string, string>>): OutputPipes {
  const idle: number[] = []
  let making: Promise<void> | undefined
  let usable = true

  async function make(): Promise<void> {
    try {
      idle.push(...(await makePipes(env)))
    } catch {
      // Commands then run with sockets, which serve all but the uses above.
      usable = false
    } finally {
      making = undefined
    }
  }

  function giveBack(fd: number, empty: boolean): void {
    if (empty && usable && idle.length < BATCH_SIZE) idle.push(fd)
    else closeQuietly(fd)
  }

  return {
    async take() {
      while (idle.length === 0 && usable) {
        making ??= make()
        await making
      }
      const kept = idle.pop()
      if (kept === undefined) return undefined
      try {
        return openPipe(kept, (empty) => giveBack(kept, empty))
      } catch {
        closeQuietly(kept)
        return undefined
      }
    },
    [Symbol.dispose]() {
      usable = false
      for (const fd of idle.splice(0)) closeQuietly(fd)
    },
  }
}

/** `kept` is a reading end of its own, so that the pipe outlives its users. */
function openPipe(kept: number, onClose: (empty: boolean) => void): OutputPipe {
  const readFd = openSync(`/proc/self/fd/${kept}`, constants.O_RDONLY | constants.O_NONBLOCK)
  let writeFd: number
  try {
    writeFd = openSync(`/proc/self/fd/${kept}`, constants.O_WRONLY)
  } catch (error) {
    closeQuietly(readFd)
    throw error
  }
  const reader = new Socket({ fd: readFd, readable: true, writable: false })
  let empty = false
  reader.once('end', () => {
    empty = true
  })
  reader.once('close', () => onClose(empty))
  return { writeFd, reader }
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
  // Only an invalid number could fail, and these are ours.
  close(fd, () => {})
}
