import type { Session as SessionView } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { LogStore } from './log-store.ts'
import type { OutputLog } from './output-log.ts'
import type { SessionParts } from './session.ts'
import { Session } from './session.ts'

/** Sessions that may exist at the same time. */
export const MAX_SESSIONS = 64
/** The session of the command that the sandbox was made to run; clients only read it. */
export const ENTRYPOINT_SESSION = 'entrypoint'

/** The sessions of the sandbox, by id. */
export class Sessions implements AsyncDisposable {
  readonly #parts: SessionParts
  /** The log of the entrypoint of a sandbox that has none. */
  readonly #emptyLog: OutputLog
  readonly #sessions = new Map<string, Promise<Session>>()
  /** Deleted sessions whose processes are being ended. */
  readonly #ending = new Set<Session>()
  #entrypoint: Promise<Session> | undefined
  #closed = false

  constructor(parts: Omit<SessionParts, 'store'>) {
    this.#parts = { ...parts, store: new LogStore() }
    this.#emptyLog = this.#parts.store.createLog(this)
    this.#emptyLog.finish()
  }

  /** Creates a session. Throws CONFLICT, RATE_LIMITED and SERVICE_UNAVAILABLE. */
  async create(id: string): Promise<void> {
    if (id === ENTRYPOINT_SESSION) throw new AppError('CONFLICT', `session ${id} is the sandbox's own`)
    await this.#start(id)
  }

  /** Runs the sandbox's own command in a session of its own. */
  async startEntrypoint(words: readonly string[]): Promise<void> {
    const command = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
    this.#entrypoint = this.#start(ENTRYPOINT_SESSION).then((session) => {
      session.execute(`exec ${command}`, { takesInput: false, echoesInput: false })
      return session
    })
    await this.#entrypoint
  }

  async describeEntrypoint(): Promise<SessionView> {
    const session = await this.#entrypoint?.catch(() => undefined)
    return session?.describe() ?? { sessionId: ENTRYPOINT_SESSION, commands: [] }
  }

  async entrypointLog(): Promise<OutputLog> {
    const session = await this.#entrypoint?.catch(() => undefined)
    const [command] = session?.describe().commands ?? []
    return command === undefined ? this.#emptyLog : (session?.command(command.id).log ?? this.#emptyLog)
  }

  /** Returns the session. Throws NOT_FOUND. */
  async get(id: string): Promise<Session> {
    const session = await this.#sessions.get(id)?.catch(() => undefined)
    if (session === undefined) throw noSession(id)
    return session
  }

  async list(): Promise<Session[]> {
    const settled = await Promise.allSettled(this.#sessions.values())
    const sessions = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    return sessions.filter(({ id }) => id !== ENTRYPOINT_SESSION)
  }

  /** Frees the id at once; resolves when all processes the session has started are gone. Throws NOT_FOUND. */
  async delete(id: string): Promise<void> {
    const found = this.#sessions.get(id)
    const session = await this.get(id)
    // Another call may have deleted the session meanwhile.
    if (this.#sessions.get(id) !== found) throw noSession(id)
    this.#sessions.delete(id)
    await this.#end(session)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const sessions = await Promise.allSettled(this.#sessions.values())
    this.#sessions.clear()
    await Promise.all(sessions.map(async (outcome) => outcome.status === 'fulfilled' && this.#end(outcome.value)))
  }

  async #start(id: string): Promise<Session> {
    if (this.#sessions.has(id)) throw new AppError('CONFLICT', `session ${id.slice(0, 100)} exists already`)
    if (this.#closed) throw new AppError('SERVICE_UNAVAILABLE', 'the toolbox is shutting down')
    if (this.#sessions.size + this.#ending.size >= MAX_SESSIONS) {
      throw new AppError('RATE_LIMITED', `${MAX_SESSIONS} sessions exist already; delete one first`)
    }
    const starting = Session.start(id, this.#parts)
    this.#sessions.set(id, starting)
    try {
      return await starting
    } catch (error) {
      this.#sessions.delete(id)
      throw error
    }
  }

  async #end(session: Session): Promise<void> {
    this.#ending.add(session)
    await session[Symbol.asyncDispose]()
    this.#ending.delete(session)
  }
}

function noSession(id: string): AppError {
  return new AppError('NOT_FOUND', `there is no session ${id.slice(0, 100)}`)
}
