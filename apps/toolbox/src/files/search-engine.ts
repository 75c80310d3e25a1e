import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** A line is held whole, whatever its length; more than this ends the engine, and not the sandbox. */
const MAX_MEMORY_KIB = 512 * 1024
/** Kept of what an engine complains of. */
const MAX_COMPLAINT_BYTES = 1024
/** 1: nothing found. 2: something could not be read, which it is told not to speak of. */
const GOOD_ENDS = [0, 1, 2]

/** An engine could not start, did not end well, or is not what it is taken for. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
}

/** A search over all regular files below a folder by a program of the sandbox. */
export interface EngineSearch {
  program: string
  env: Readonly<Record<string, string>>
  /** Latin1, absolute. */
  folder: string
  text: string
  signal: AbortSignal
}

/** Whether the text can be given to a program as an argument, which has to be UTF-8 without NUL. */
export function canLookFor(text: Buffer): boolean {
  return !text.includes(0) && Buffer.from(text.toString()).equals(text)
}

/**
 * What the program prints in the folder, as it comes. `script` starts it from a shell, where `$0` is the program and
 * `$@` are `args`. Throws EngineError, after what it had printed until then, and the signal's reason.
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
    // The folder's name need not be UTF-8, as arguments have to be: the child enters it by the number of its file.
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
  // 'error' says that it could not start, and comes instead of 'close'.
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
