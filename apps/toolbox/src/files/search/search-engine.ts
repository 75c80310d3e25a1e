import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** An engine holds a line whole, whatever its length; at this limit the engine ends, and not the sandbox. */
const MAX_MEMORY_KIB = 512 * 1024
/** Bytes kept of an engine's complaints. */
const MAX_COMPLAINT_BYTES = 1024
/** Exit codes. 1: nothing found. 2: something could not be read, which the engine is told not to report. */
const GOOD_ENDS = [0, 1, 2]

/** Tells that an engine could not start, did not end well, or is another program than expected. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
}

/** A search over all regular files below a folder by a program of the sandbox. */
export interface EngineSearch {
  program: string
  env: Readonly<Record<string, string>>
  /** An absolute path in Latin1. */
  folder: string
  text: string
  signal: AbortSignal
}

/** Returns whether the text can be given to a program as an argument, which has to be UTF-8 without NUL. */
export function canLookFor(text: Buffer): boolean {
  return !text.includes(0) && Buffer.from(text.toString()).equals(text)
}

/**
 * Yields the output of the program, run in the folder, as it comes. `script` starts it from a shell, where `$0` is the
 * program and `$@` are `args`. Throws EngineError, after the output until then, and the signal's reason.
 */
export async function* runEngine(
  search: EngineSearch,
  { script, args }: { script: string; args: readonly string[] },
): AsyncGenerator<Buffer> {
  const { signal, program, env } = search
  const folder = await open(Buffer.from(search.folder, 'latin1'), constants.O_RDONLY | constants.O_DIRECTORY)
  let child: ChildProcess | undefined
  const kill = () => void child?.kill('SIGKILL')
  try {
    signal.throwIfAborted()
    const limited = `ulimit -v ${MAX_MEMORY_KIB}; ${script}`
    // The child enters the folder by its descriptor: the folder's name need not be UTF-8, as arguments have to be.
    const cwd = `/proc/self/fd/${folder.fd}`
    child = spawn('/bin/sh', ['-c', limited, program, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    signal.addEventListener('abort', kill)
    yield* follow(child)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', kill)
    kill()
    await folder.close()
  }
}

async function* follow(child: ChildProcess): AsyncGenerator<Buffer> {
  const { stdout, stderr } = child
  if (stdout === null || stderr === null) throw new EngineError('no output')
  // 'error' says that the program could not start, and comes instead of 'close'.
  const ended = once(child, 'close').catch((cause: unknown) => {
    throw new EngineError('could not start', { cause })
  })
  ended.catch(() => {})
  let complaint = ''
  stderr.setEncoding('latin1').on('data', (piece: string) => {
    complaint = (complaint + piece).slice(0, MAX_COMPLAINT_BYTES)
  })
  yield* stdout
  const [code] = await ended
  if (!GOOD_ENDS.includes(code) || complaint !== '') throw new EngineError(`ended with ${code}: ${complaint}`)
}
