import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { AppError } from '@atoll/protocol'
import type { InitializeParams, InitializeResult, MessageConnection } from 'vscode-languageserver-protocol/node'
import {
  CancellationTokenSource,
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-languageserver-protocol/node'
import { dieFirst } from '../process/die-first.ts'
import type { ProcessGroups } from '../process/process-groups.ts'

const INITIALIZE_DEADLINE_MS = 60_000
/** The time from the request to shut down to the signal. */
const SHUTDOWN_DEADLINE_MS = 2_000
/** The most characters kept of a server's stderr. */
const MAX_COMPLAINT_LENGTH = 2_000

export interface ServerProcessOptions {
  file: string
  args: readonly string[]
  projectDir: string
  env: Readonly<Record<string, string>>
  groups: ProcessGroups
  /** Options of this server beside the fields of LSP. */
  initializationOptions: object
  onNotification: (method: string, params: unknown) => void
}

/** A language server that has been initialised. */
export interface ServerProcess {
  readonly connection: MessageConnection
  readonly initializeResult: InitializeResult
  /** Resolves, never rejects, with the server's last words on stderr when the process is gone. */
  readonly ended: Promise<string>
  /** Asks the server to shut down, then ends its process group. */
  stop(): Promise<void>
}

/** Starts and initialises a language server. Throws LSP_SERVER_CRASHED when it ends before it is ready, or is late. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { file, args, projectDir, env, groups } = options
  const child = spawn(file, args, { cwd: projectDir, env: { ...env }, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
  dieFirst(child.pid)
  const ended = watchEnd(child, groups)
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  )
  // A server that breaks its stream is ended; `ended` reports that.
  connection.onError(() => endGroup(child, groups))
  connection.onClose(() => endGroup(child, groups))
  child.stdin.on('error', () => {})
  connection.onNotification(options.onNotification)
  connection.onRequest(answerServer)
  connection.listen()
  try {
    const initializeResult = await Promise.race([
      initialize(connection, { projectDir, initializationOptions: options.initializationOptions }),
      ended.then((words) => Promise.reject(new AppError('LSP_SERVER_CRASHED', `the language server ended: ${words}`))),
    ])
    return { connection, initializeResult, ended, stop: () => stop(connection, { child, groups, ended }) }
  } catch (error) {
    endGroup(child, groups)
    connection.dispose()
    if (error instanceof AppError) throw error
    throw new AppError('LSP_SERVER_CRASHED', `the language server cannot be initialised: ${describe(error)}`)
  }
}

function watchEnd(child: ChildProcess, groups: ProcessGroups): Promise<string> {
  let words = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-MAX_COMPLAINT_LENGTH)
  })
  if (child.pid !== undefined) groups.add(child.pid)
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => {
      if (child.pid !== undefined) groups.leaderExited(child.pid)
      resolve(words.trim() || `status ${code ?? signal}`)
    })
  })
}

function endGroup(child: ChildProcess, groups: ProcessGroups): void {
  if (child.pid !== undefined) groups.end(child.pid)
}

async function initialize(
  connection: MessageConnection,
  about: { projectDir: string; initializationOptions: object },
): Promise<InitializeResult> {
  const result = await requestWithin<InitializeResult>(connection, {
    method: 'initialize',
    params: { ...initializeParams(about.projectDir), initializationOptions: about.initializationOptions },
    deadlineMs: INITIALIZE_DEADLINE_MS,
  })
  await connection.sendNotification('initialized', {})
  return result
}

async function stop(
  connection: MessageConnection,
  { child, groups, ended }: { child: ChildProcess; groups: ProcessGroups; ended: Promise<string> },
): Promise<void> {
  const over = ended.then(() => connection.dispose())
  try {
    await requestWithin(connection, { method: 'shutdown', params: undefined, deadlineMs: SHUTDOWN_DEADLINE_MS })
    await connection.sendNotification('exit')
  } catch {
    // A server that has ended, or does not answer, is ended all the same.
  }
  endGroup(child, groups)
  await over
}

export interface ServerRequest {
  method: string
  params: unknown
  deadlineMs: number
  /** Cancels the request; the server still answers, most likely that it was cancelled. */
  signal?: AbortSignal
}

/** Sends a request and cancels it at its deadline. Rejects with the server's error, or REQUEST_TIMEOUT. */
export async function requestWithin<Result>(
  connection: MessageConnection,
  { method, params, deadlineMs, signal }: ServerRequest,
): Promise<Result> {
  const source = new CancellationTokenSource()
  const cancel = () => source.cancel()
  signal?.addEventListener('abort', cancel)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      source.cancel()
      reject(new AppError('REQUEST_TIMEOUT', `the language server gave no answer to ${method} in time`))
    }, deadlineMs)
  })
  try {
    return await Promise.race([connection.sendRequest<Result>(method, params, source.token), late])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', cancel)
    source.dispose()
  }
}

/** Returns a neutral answer to a server's request to its client: no single editor could decide here. */
function answerServer(method: string, params: unknown): unknown {
  if (method === 'workspace/configuration') return configurationItems(params).map(() => null)
  if (method === 'workspace/applyEdit') return { applied: false, failureReason: 'the client applies no edits' }
  return null
}

function configurationItems(params: unknown): unknown[] {
  const items = typeof params === 'object' && params !== null && 'items' in params ? params.items : []
  return Array.isArray(items) ? items : []
}

function initializeParams(projectDir: string): InitializeParams {
  const rootUri = pathToFileURL(projectDir).href
  const fixed = { dynamicRegistration: false }
  return {
    processId: process.pid,
    clientInfo: { name: 'atoll' },
    rootUri,
    workspaceFolders: [{ uri: rootUri, name: projectDir }],
    capabilities: {
      workspace: { configuration: true, workspaceFolders: true, symbol: fixed, applyEdit: false },
      window: { workDoneProgress: false },
      textDocument: {
        synchronization: { ...fixed, didSave: true },
        completion: {
          ...fixed,
          contextSupport: true,
          completionItem: { documentationFormat: ['markdown', 'plaintext'] },
        },
        hover: { ...fixed, contentFormat: ['markdown', 'plaintext'] },
        signatureHelp: fixed,
        definition: { ...fixed, linkSupport: true },
        typeDefinition: fixed,
        implementation: fixed,
        references: fixed,
        documentHighlight: fixed,
        documentSymbol: { ...fixed, hierarchicalDocumentSymbolSupport: false },
        formatting: fixed,
        rangeFormatting: fixed,
        rename: { ...fixed, prepareSupport: true },
        codeAction: {
          ...fixed,
          codeActionLiteralSupport: { codeActionKind: { valueSet: ['quickfix', 'refactor', 'source'] } },
        },
        foldingRange: fixed,
        publishDiagnostics: { relatedInformation: true },
      },
    },
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
