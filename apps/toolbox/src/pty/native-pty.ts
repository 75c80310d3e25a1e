import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { AppError } from '@atoll/protocol'

/** The path of the addon in a build: beside the bundle, which also runs where there is no node_modules. */
const BESIDE_BUNDLE = './pty.node'

/** The functions of node-pty's addon that we call. Not a public interface of that package: its version is pinned. */
export interface NativePty {
  /**
   * Starts a program as the leader of a session with a new terminal. `fd` is the other end of the terminal: non-blocking,
   * and ours to close. Throws an Error when there can be no terminal; a program that cannot be started exits with 1.
   */
  fork(...args: ForkArguments): { fd: number; pid: number; pty: string }
  resize(fd: number, cols: number, rows: number, widthPixels: number, heightPixels: number): void
}

type ForkArguments = [
  file: string,
  args: readonly string[],
  env: readonly string[],
  cwd: string,
  cols: number,
  rows: number,
  uid: number,
  gid: number,
  utf8: boolean,
  helperPath: string,
  /** Called once, from the event loop. `signal` is 0 for a program that exited by itself. */
  onExit: (code: number, signal: number) => void,
]

let loaded: NativePty | undefined

/** Loads the addon on first use. Throws SERVICE_UNAVAILABLE where this build has none for the machine. */
export function loadNativePty(): NativePty {
  loaded ??= load()
  return loaded
}

function load(): NativePty {
  const require = createRequire(import.meta.url)
  try {
    if (existsSync(join(import.meta.dirname, BESIDE_BUNDLE))) return require(BESIDE_BUNDLE)
    const platform = `${process.platform}-${process.arch}`
    const library = dirname(require.resolve(`@lydell/node-pty-${platform}`))
    return require(join(library, '../prebuilds', platform, 'pty.node'))
  } catch (cause) {
    const what = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new AppError('SERVICE_UNAVAILABLE', `there are no terminals on this machine: ${what}`, { cause })
  }
}
