import { AppError } from '@atoll/protocol'
import type { InitializeResult } from 'vscode-languageserver-protocol/node'
import type { Log } from '../log.ts'
import type { DocumentNotice, Holder, OpenDocuments } from './open-documents.ts'
import { createOpenDocuments } from './open-documents.ts'
import type { ServerProcess } from './server-process.ts'
import { requestWithin } from './server-process.ts'

/** How often a server that ends by itself is restarted within the window; its next end is reported to all editors. */
export const MAX_RESTARTS = 3
const RESTART_WINDOW_MS = 3 * 60_000
/** How long a server runs without requests and connected editors; the next call starts it again. */
const IDLE_MS = 15 * 60_000
const REQUEST_DEADLINE_MS = 60_000
/** MessageType.Warning of LSP. */
const WARNING = 2

/** An editor's side of a shared server. */
export interface ServerListener {
  notify(method: string, params: unknown): void
  /** Called last. `crashed` when the server cannot be kept alive, else it was stopped. */
  end(reason: 'stopped' | 'crashed'): void
}

/** One language server of a project, shared by REST callers and editors, and kept alive within limits. */
export interface LanguageServer extends AsyncDisposable {
  readonly documents: OpenDocuments
  /** Starts the server when it does not run. Throws LSP_SERVER_NOT_INSTALLED and LSP_SERVER_CRASHED. */
  ready(): Promise<InitializeResult>
  /** Throws the errors of `ready`, LSP_REQUEST_FAILED and REQUEST_TIMEOUT. */
  request<Result>(method: string, params: unknown): Promise<Result>
  /** Returns the server's answer, or rejects with its own error. The signal cancels the request. */
  relay(method: string, params: unknown, signal?: AbortSignal): Promise<unknown>
  notify(method: string, params: unknown): void
  /** Adds an editor; returns a function that removes it and closes the documents it has open. */
  listen(holder: Holder, listener: ServerListener): () => void
  /** Forgets the restarts used so far. */
  forgive(): void
}

export interface LanguageServerOptions {
  start: (onNotification: (method: string, params: unknown) => void) => Promise<ServerProcess>
  log: Log
  /** Returns milliseconds that never go back. */
  now?: () => number
  idleMs?: number
}

export function createLanguageServer(options: LanguageServerOptions): LanguageServer {
  return new SharedServer(options)
}

class SharedServer implements LanguageServer {
  readonly documents: OpenDocuments
  private readonly options: LanguageServerOptions
  private readonly listeners = new Map<Holder, ServerListener>()
  private readonly idleMs: number
  private readonly now: () => number
  private starting: Promise<ServerProcess> | undefined
  private running: ServerProcess | undefined
  private crashes: number[] = []
  private lastWords = ''
  private idle: NodeJS.Timeout | undefined
  private disposed = false

  constructor(options: LanguageServerOptions) {
    this.options = options
    this.now = options.now ?? (() => performance.now())
    this.idleMs = options.idleMs ?? IDLE_MS
    this.documents = createOpenDocuments((notice) => this.tell(notice))
  }

  async ready(): Promise<InitializeResult> {
    return (await this.process()).initializeResult
  }

  async request<Result>(method: string, params: unknown): Promise<Result> {
    try {
      return (await this.relay(method, params)) as Result
    } catch (error) {
      if (error instanceof AppError) throw error
      throw new AppError('LSP_REQUEST_FAILED', `the language server failed: ${words(error)}`, { cause: error })
    }
  }

  async relay(method: string, params: unknown, signal?: AbortSignal): Promise<unknown> {
    const { connection } = await this.process()
    const deadlineMs = REQUEST_DEADLINE_MS
    return requestWithin(connection, { method, params, deadlineMs, ...(signal === undefined ? {} : { signal }) })
  }

  notify(method: string, params: unknown): void {
    this.running?.connection.sendNotification(method, params).catch(() => {})
  }

  listen(holder: Holder, listener: ServerListener): () => void {
    this.listeners.set(holder, listener)
    this.touch()
    return () => {
      if (!this.listeners.delete(holder)) return
      this.documents.closeAll(holder)
      this.touch()
    }
  }

  forgive(): void {
    this.crashes = []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true
    clearTimeout(this.idle)
    this.endListeners('stopped')
    const server = this.running ?? (await this.starting?.catch(() => undefined))
    this.running = undefined
    await server?.stop()
  }

  /** Returns the running server, or a new one with every open document in it. */
  private process(): Promise<ServerProcess> {
    if (this.disposed) return Promise.reject(notInitialized())
    this.touch()
    if (this.running !== undefined) return Promise.resolve(this.running)
    this.starting ??= this.start().finally(() => {
      this.starting = undefined
    })
    return this.starting
  }

  private async start(): Promise<ServerProcess> {
    this.checkCrashes()
    const server = await this.options
      .start((method, params) => this.broadcast(method, params))
      .catch((error) => {
        if (error instanceof AppError && error.code === 'LSP_SERVER_CRASHED') this.noteCrash(error.message)
        throw error
      })
    if (this.disposed) {
      await server.stop()
      throw notInitialized()
    }
    this.running = server
    for (const textDocument of this.documents.all()) this.notify('textDocument/didOpen', { textDocument })
    server.ended.then((last) => this.ended(server, last)).catch(() => {})
    return server
  }

  private checkCrashes(): void {
    const since = this.now() - RESTART_WINDOW_MS
    this.crashes = this.crashes.filter((at) => at > since)
    if (this.crashes.length <= MAX_RESTARTS) return
    throw new AppError(
      'LSP_SERVER_CRASHED',
      `the language server ended ${this.crashes.length} times within ${RESTART_WINDOW_MS / 60_000} minutes; ` +
        `start it again to try once more. It said: ${this.lastWords}`,
    )
  }

  private noteCrash(last: string): void {
    this.lastWords = last
    this.crashes.push(this.now())
  }

  /** Restarts a server that was not told to end: at once if an editor is connected, else at the next call. */
  private ended(server: ServerProcess, last: string): void {
    if (this.running !== server) return
    this.running = undefined
    server.connection.dispose()
    this.noteCrash(last)
    this.options.log.error('language server ended', { last })
    if (this.listeners.size === 0) return
    this.process().then(
      () => {
        const message = 'The language server ended unexpectedly and was started again.'
        this.broadcast('window/showMessage', { type: WARNING, message })
      },
      () => this.endListeners('crashed'),
    )
  }

  private tell({ method, params }: DocumentNotice): void {
    this.notify(method, params)
  }

  private broadcast(method: string, params: unknown): void {
    for (const listener of this.listeners.values()) listener.notify(method, params)
  }

  private endListeners(reason: 'stopped' | 'crashed'): void {
    const listeners = [...this.listeners.values()]
    this.listeners.clear()
    for (const listener of listeners) listener.end(reason)
  }

  private touch(): void {
    clearTimeout(this.idle)
    if (this.listeners.size > 0 || this.disposed) return
    this.idle = setTimeout(() => this.rest(), this.idleMs)
    this.idle.unref()
  }

  private rest(): void {
    const server = this.running
    this.running = undefined
    server?.stop().catch(() => {})
  }
}

/** Returns the error for a call to a server that was not started. §18 of the contract. */
export function notInitialized(): AppError {
  return new AppError('LSP_SERVER_NOT_INITIALIZED', 'server not initialized')
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
