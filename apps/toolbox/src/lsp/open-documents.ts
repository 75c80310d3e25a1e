import { AppError } from '@atoll/protocol'
import type { TextDocumentContentChangeEvent } from 'vscode-languageserver-textdocument'
import { TextDocument } from 'vscode-languageserver-textdocument'

/** Bounds for one language server; lengths of texts are in UTF-16 code units. */
const MAX_OPEN_DOCUMENTS = 1_000
export const MAX_DOCUMENT_LENGTH = 8 * 1024 * 1024
const MAX_TOTAL_LENGTH = 64 * 1024 * 1024

/** The holder of open documents: an editor, or all REST callers together. */
export type Holder = object

/** A notification to a language server about a document. */
export type DocumentNotice =
  | { method: 'textDocument/didOpen'; params: { textDocument: OpenedDocument } }
  | {
      method: 'textDocument/didChange'
      params: { textDocument: { uri: string; version: number }; contentChanges: TextDocumentContentChangeEvent[] }
    }
  | { method: 'textDocument/didClose'; params: { textDocument: { uri: string } } }

export interface OpenedDocument {
  uri: string
  languageId: string
  version: number
  text: string
}

/**
 * The documents of one language server that its holders have open. The server sees each document once: the first open
 * opens it, the last close closes it, and every change raises its version. If several holders have a document open, each
 * change sends the whole text, since incremental changes refer to the texts of their own holders.
 */
export interface OpenDocuments {
  open(holder: Holder, document: { uri: string; languageId: string; text: string }): void
  /** Changes a document; ignores one that the holder has not open, and changes that make no sense. */
  change(holder: Holder, uri: string, changes: TextDocumentContentChangeEvent[]): void
  close(holder: Holder, uri: string): void
  closeAll(holder: Holder): void
  isOpen(holder: Holder, uri: string): boolean
  readonly size: number
  /** Returns every document as the server saw it last, to open it in a new server. */
  all(): OpenedDocument[]
}

interface Entry {
  languageId: string
  version: number
  text: string
  /** The text of each holder. */
  readonly texts: Map<Holder, TextDocument>
}

/** Makes an empty set of documents. Its `open` throws BAD_REQUEST when a bound is exceeded. */
export function createOpenDocuments(tell: (notice: DocumentNotice) => void): OpenDocuments {
  const entries = new Map<string, Entry>()

  function check(text: string): void {
    let total = text.length
    for (const entry of entries.values()) total += entry.text.length
    if (text.length > MAX_DOCUMENT_LENGTH || total > MAX_TOTAL_LENGTH || entries.size >= MAX_OPEN_DOCUMENTS) {
      throw new AppError('BAD_REQUEST', 'too many or too large documents are open')
    }
  }

  function update(
    uri: string,
    entry: Entry,
    change: { text: string; changes: TextDocumentContentChangeEvent[] },
  ): void {
    entry.version += 1
    entry.text = change.text
    const textDocument = { uri, version: entry.version }
    tell({ method: 'textDocument/didChange', params: { textDocument, contentChanges: change.changes } })
  }

  function close(holder: Holder, uri: string): void {
    const entry = entries.get(uri)
    if (entry === undefined || !entry.texts.delete(holder) || entry.texts.size > 0) return
    entries.delete(uri)
    tell({ method: 'textDocument/didClose', params: { textDocument: { uri } } })
  }

  return {
    open(holder, { uri, languageId, text }) {
      check(text)
      const entry = entries.get(uri) ?? { languageId, version: 0, text, texts: new Map() }
      entry.texts.set(holder, TextDocument.create(uri, languageId, 0, text))
      if (entry.version === 0) {
        entry.version = 1
        entries.set(uri, entry)
        tell({ method: 'textDocument/didOpen', params: { textDocument: { uri, languageId, version: 1, text } } })
      } else if (entry.text !== text) update(uri, entry, { text, changes: [{ text }] })
    },
    change(holder, uri, changes) {
      const entry = entries.get(uri)
      const held = entry?.texts.get(holder)
      if (entry === undefined || held === undefined) return
      const updated = TextDocument.update(held, changes, held.version + 1)
      const text = updated.getText()
      if (text.length > MAX_DOCUMENT_LENGTH) return close(holder, uri)
      const inStep = entry.texts.size === 1
      update(uri, entry, { text, changes: inStep ? changes : [{ text }] })
    },
    close,
    closeAll(holder) {
      for (const uri of [...entries.keys()]) close(holder, uri)
    },
    isOpen: (holder, uri) => entries.get(uri)?.texts.has(holder) ?? false,
    get size() {
      return entries.size
    },
    all: () => [...entries].map(([uri, { languageId, version, text }]) => ({ uri, languageId, version, text })),
  }
}
