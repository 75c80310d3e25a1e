import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import type { PtySessionInfo } from '@atoll/protocol'
import { AppError, DEFAULT_COLS, DEFAULT_ROWS, MAX_TERMINAL_SIDE } from '@atoll/protocol'
import { checkVariables } from '../command-environment.ts'
import type { FeatureParts } from '../feature.ts'
import { describeError } from '../log.ts'
import { findLoginShell } from './login-shell.ts'
import { loadNativePty } from './native-pty.ts'
import type { PtySession } from './pty-session.ts'
import { createPtySession } from './pty-session.ts'
import { startTerminal } from './terminal.ts'
import type { TerminalSize } from './terminal-recorder.ts'

/** Terminals that may be open at the same time. */
export const MAX_OPEN_PTYS = 64
/** Ended terminals that are remembered, the newest ones, for a while. */
const MAX_ENDED_PTYS = 64
const ENDED_KEPT_MS = 10 * 60_000
const TERMINAL_TYPE = 'xterm-256color'

export interface PtyRequest {
  id: string
  cwd?: string
  envs?: Readonly<Record<string, string>>
  cols?: number
  rows?: number
  lazyStart?: boolean
}

/** All terminals, by id. */
export interface PtySessions extends AsyncDisposable {
  /**
   * Opens a terminal; the id of an ended one may be used again. Throws CONFLICT, RATE_LIMITED, VALIDATION_FAILED,
   * BAD_REQUEST, INVALID_FILE_PATH and SERVICE_UNAVAILABLE.
   */
  create(request: PtyRequest): Promise<PtySession>
  /** Returns the terminal. Throws NOT_FOUND. */
  get(id: string): PtySession
  list(): PtySessionInfo[]
  /** Kills the processes in a terminal and forgets it. Throws NOT_FOUND. */
  remove(id: string): Promise<void>
}

export function createPtySessions({ work, commandEnv, log }: FeatureParts): PtySessions {
  const sessions = new Map<string, PtySession>()
  const forgetting = new Map<PtySession, NodeJS.Timeout>()
  let closed = false

  function get(id: string): PtySession {
    const session = sessions.get(id)
    if (session === undefined) throw new AppError('NOT_FOUND', `there is no terminal ${JSON.stringify(id)}`)
    return session
  }

  function forget(id: string, session: PtySession): void {
    clearTimeout(forgetting.get(session))
    forgetting.delete(session)
    if (sessions.get(id) === session) sessions.delete(id)
  }

  function keepForAWhile(id: string, session: PtySession): void {
    if (sessions.get(id) !== session || closed) return
    // The map keeps insertion order, which is the order of the ends.
    const [oldest] = forgetting.size >= MAX_ENDED_PTYS ? forgetting.keys() : []
    if (oldest !== undefined) forget(oldest.describe().id, oldest)
    forgetting.set(session, setTimeout(() => forget(id, session), ENDED_KEPT_MS).unref())
  }

  /** Forgets an ended terminal of that id. Throws CONFLICT if one is open, RATE_LIMITED if too many terminals are. */
  function checkFree(id: string): void {
    const before = sessions.get(id)
    if (before?.ended === false) throw new AppError('CONFLICT', `terminal ${JSON.stringify(id)} exists already`)
    if (sessions.size - forgetting.size >= MAX_OPEN_PTYS) {
      throw new AppError('RATE_LIMITED', `${MAX_OPEN_PTYS} terminals are open already`)
    }
    if (before !== undefined) forget(id, before)
  }

  return {
    async create(request) {
      const { id, envs = {}, lazyStart = false } = request
      const size = checkSize(request)
      checkVariables('envs', envs)
      const native = loadNativePty()
      const cwd = await findDirectory(work.resolve(request.cwd ?? '').toString())
      const env = { ...commandEnv, TERM: TERMINAL_TYPE, ...envs }
      const shell = await findLoginShell(env)
      if (closed) throw new AppError('SERVICE_UNAVAILABLE', 'the sandbox is being stopped')
      checkFree(id)
      const session = createPtySession({
        id,
        cwd,
        envs,
        size,
        lazyStart,
        startTerminal(callbacks) {
          try {
            return startTerminal({ native, shell, cwd, env, ...callbacks })
          } catch (error) {
            log.error('no terminal', { error: describeError(error) })
            throw new AppError('SERVICE_UNAVAILABLE', 'the system gives no terminal', { cause: error })
          }
        },
        onEnd: () => keepForAWhile(id, session),
      })
      if (!lazyStart) session.start()
      sessions.set(id, session)
      return session
    },
    get,
    list: () => [...sessions.values()].map((session) => session.describe()),
    async remove(id) {
      const session = get(id)
      await session.kill()
      forget(id, session)
    },
    async [Symbol.asyncDispose]() {
      closed = true
      for (const timer of forgetting.values()) clearTimeout(timer)
      await Promise.all([...sessions.values()].map((session) => session.kill()))
    },
  }
}

function checkSize({ cols = DEFAULT_COLS, rows = DEFAULT_ROWS }: PtyRequest): TerminalSize {
  for (const [name, value] of Object.entries({ cols, rows })) {
    if (value < 1 || value > MAX_TERMINAL_SIDE) {
      throw new AppError('VALIDATION_FAILED', `${name} must be from 1 to ${MAX_TERMINAL_SIDE}`)
    }
  }
  return { cols, rows }
}

/** Returns the directory. Throws BAD_REQUEST when a shell could not start there. */
async function findDirectory(path: string): Promise<string> {
  const problem = (what: string) => new AppError('BAD_REQUEST', `working directory ${path}: ${what}`)
  const stats = await stat(path).catch((error: unknown) => {
    throw problem(error instanceof Error && 'code' in error ? String(error.code) : 'not there')
  })
  if (!stats.isDirectory()) throw problem('not a directory')
  await access(path, constants.X_OK).catch(() => {
    throw problem('permission denied')
  })
  return path
}
