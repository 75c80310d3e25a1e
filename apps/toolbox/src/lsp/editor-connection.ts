import { ErrorCodes, LSPErrorCodes, ResponseError } from 'vscode-languageserver-protocol/node'
import type { TextDocumentContentChangeEvent } from 'vscode-languageserver-textdocument'
import type { LanguageServer } from './language-server.ts'
import type { Holder } from './open-documents.ts'

/** Requests of one editor that may wait for answers at the same time. */
const MAX_WAITING_REQUESTS = 256

export interface EditorConnectionOptions {
  server: LanguageServer
  send: (message: object) => void
  /** Called when the editor has sent `exit`. */
  onExit: () => void
}

/** One editor's JSON-RPC connection, over a server it shares with other editors. */
export interface EditorConnection {
  readonly holder: Holder
  /** Takes one message as it came. A text that is not JSON-RPC gets its error as the answer; nothing is thrown. */
  take(text: string): void
  cancelAll(reason: Error): void
}

type Id = string | number

interface Message {
  id?: Id
  method?: string
  params: unknown
}

export function createEditorConnection(options: EditorConnectionOptions): EditorConnection {
  return new Editor(options)
}

class Editor implements EditorConnection {
  readonly holder: Holder = this
  private readonly options: EditorConnectionOptions
  private readonly waiting = new Map<Id, AbortController>()

  constructor(options: EditorConnectionOptions) {
    this.options = options
  }

  take(text: string): void {
    const message = parse(text)
    if (message === 'no JSON') {
      this.fail(null, { code: ErrorCodes.ParseError, message: 'the message is no JSON' })
    } else if (message === 'no message') {
      this.fail(null, { code: ErrorCodes.InvalidRequest, message: 'the message is no JSON-RPC 2.0' })
    } else {
      const { id, method, params } = message
      // A message without a method answers a request, and editors are never sent requests.
      if (method === undefined) return
      if (id === undefined) this.notified(method, params)
      else this.requested(id, method, params)
    }
  }

  cancelAll(reason: Error): void {
    for (const request of this.waiting.values()) request.abort(reason)
    this.waiting.clear()
  }

  private requested(id: Id, method: string, params: unknown): void {
    if (this.waiting.size >= MAX_WAITING_REQUESTS || this.waiting.has(id)) {
      const message = 'too many requests wait for their answers, or one with this id'
      this.fail(id, { code: LSPErrorCodes.RequestFailed, message })
      return
    }
    const cancel = new AbortController()
    this.waiting.set(id, cancel)
    this.answer(method, params, cancel.signal)
      .then(
        (result) => this.options.send({ jsonrpc: '2.0', id, result: result ?? null }),
        (error: unknown) => this.failWith(id, error),
      )
      .finally(() => this.waiting.delete(id))
      .catch(() => {})
  }

  private async answer(method: string, params: unknown, signal: AbortSignal): Promise<unknown> {
    const { server } = this.options
    if (method === 'shutdown') return null
    return method === 'initialize' ? server.ready() : server.relay(method, params, signal)
  }

  private notified(method: string, params: unknown): void {
    const { documents } = this.options.server
    const document = documentOf(params)
    switch (method) {
      case 'initialized':
      case '$/setTrace':
        break
      case 'exit':
        this.options.onExit()
        break
      case '$/cancelRequest':
        this.waiting.get(fieldOf(params, 'id') as Id)?.abort()
        break
      case 'textDocument/didOpen':
        if (document.uri !== '') this.open(document)
        break
      case 'textDocument/didChange':
        documents.change(this.holder, document.uri, changesOf(params))
        break
      case 'textDocument/didClose':
        documents.close(this.holder, document.uri)
        break
      default:
        this.options.server.notify(method, params)
    }
  }

  private open(document: { uri: string; languageId: string; text: string }): void {
    try {
      this.options.server.documents.open(this.holder, document)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.options.send({ jsonrpc: '2.0', method: 'window/showMessage', params: { type: 1, message } })
    }
  }

  private failWith(id: Id, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    if (error instanceof ResponseError) this.fail(id, { code: error.code, message, data: error.data })
    else this.fail(id, { code: LSPErrorCodes.RequestFailed, message })
  }

  private fail(id: Id | null, error: { code: number; message: string; data?: unknown }): void {
    this.options.send({ jsonrpc: '2.0', id, error })
  }
}

function parse(text: string): Message | 'no JSON' | 'no message' {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'no JSON'
  }
  const id = fieldOf(value, 'id')
  const method = fieldOf(value, 'method')
  const goodId = id === undefined || typeof id === 'string' || typeof id === 'number'
  if (fieldOf(value, 'jsonrpc') !== '2.0' || !goodId || (method !== undefined && typeof method !== 'string')) {
    return 'no message'
  }
  return {
    params: fieldOf(value, 'params'),
    ...(id === undefined ? {} : { id }),
    ...(method === undefined ? {} : { method }),
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function documentOf(params: unknown): { uri: string; languageId: string; text: string } {
  const document = fieldOf(params, 'textDocument')
  const text = (name: string) => {
    const value = fieldOf(document, name)
    return typeof value === 'string' ? value : ''
  }
  return { uri: text('uri'), languageId: text('languageId'), text: text('text') }
}

/** Returns only those changes that have the shape that LSP requires. */
function changesOf(params: unknown): TextDocumentContentChangeEvent[] {
  const changes = fieldOf(params, 'contentChanges')
  return Array.isArray(changes) ? changes.filter(isChange) : []
}

function isChange(change: unknown): change is TextDocumentContentChangeEvent {
  const range = fieldOf(change, 'range')
  const place = (name: string) => {
    const position = fieldOf(range, name)
    return [fieldOf(position, 'line'), fieldOf(position, 'character')].every(Number.isSafeInteger)
  }
  return typeof fieldOf(change, 'text') === 'string' && (range === undefined || (place('start') && place('end')))
}
