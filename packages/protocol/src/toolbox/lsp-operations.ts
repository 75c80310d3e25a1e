import type { Static } from 'typebox'
import { Type } from 'typebox'
import { defineChannel, defineOperation } from '../operation.ts'
import { Empty, Nothing } from './operation-parts.ts'

const serverFields = {
  languageId: Type.String({ description: 'typescript, javascript or python' }),
  pathToProject: Type.String({ minLength: 1, description: 'Absolute, or relative to the work directory' }),
}
const Server = Type.Object(serverFields)
const Uri = Type.String({
  minLength: 1,
  description: 'file:// and a path: absolute, or relative to the project; percent-encoded or not',
})
const LspDocument = Type.Object({ ...serverFields, uri: Uri })

const LspPosition = Type.Object({
  line: Type.Integer({ minimum: 0, description: 'From 0' }),
  character: Type.Integer({ minimum: 0, description: 'From 0, in UTF-16 code units' }),
})
const LspRange = Type.Object({ start: LspPosition, end: LspPosition })

const CompletionParams = Type.Object({
  ...serverFields,
  uri: Uri,
  position: LspPosition,
  context: Type.Optional(
    Type.Object({ triggerKind: Type.Integer(), triggerCharacter: Type.Optional(Type.String({ maxLength: 16 })) }),
  ),
})

export const LspCompletionList = Type.Object(
  {
    isIncomplete: Type.Boolean(),
    items: Type.Array(
      Type.Object({
        label: Type.String(),
        kind: Type.Optional(Type.Integer({ description: 'CompletionItemKind of LSP' })),
        detail: Type.Optional(Type.String()),
        documentation: Type.Optional(Type.Unknown({ description: 'A string, or MarkupContent of LSP' })),
        sortText: Type.Optional(Type.String()),
        filterText: Type.Optional(Type.String()),
        insertText: Type.Optional(Type.String()),
      }),
    ),
  },
  { $id: 'LspCompletionList' },
)
export type LspCompletionList = Static<typeof LspCompletionList>

export const LspSymbol = Type.Object(
  {
    name: Type.String(),
    kind: Type.Integer({ description: 'SymbolKind of LSP' }),
    location: Type.Object({ uri: Type.String(), range: LspRange }),
  },
  { $id: 'LspSymbol' },
)
export type LspSymbol = Static<typeof LspSymbol>

const bodyErrors = ['VALIDATION_FAILED', 'INVALID_JSON', 'PAYLOAD_TOO_LARGE', 'INVALID_FILE_PATH'] as const
const serverErrors = [
  'LSP_SERVER_NOT_INITIALIZED',
  'LSP_SERVER_CRASHED',
  'LSP_SERVER_NOT_INSTALLED',
  'LSP_REQUEST_FAILED',
  'REQUEST_TIMEOUT',
] as const
const documentErrors = [...serverErrors, 'FILE_NOT_FOUND', 'FILE_ACCESS_DENIED', 'FILE_READ_FAILED'] as const

/** Language servers: one for each language and project, shared by all callers. §18 of the contract. */
export const lspOperations = {
  startLsp: defineOperation({
    method: 'POST',
    path: '/lsp/start',
    summary: 'Start the language server of a project; one that runs is left as it is',
    query: Empty,
    bodyKind: 'json',
    body: Server,
    status: 200,
    output: Nothing,
    errors: [...bodyErrors, ...serverErrors, 'FILE_NOT_FOUND', 'RATE_LIMITED'],
  }),
  stopLsp: defineOperation({
    method: 'POST',
    path: '/lsp/stop',
    summary: 'Stop the language server of a project',
    query: Empty,
    bodyKind: 'json',
    body: Server,
    status: 200,
    output: Nothing,
    errors: [...bodyErrors, 'NOT_FOUND'],
  }),
  openLspDocument: defineOperation({
    method: 'POST',
    path: '/lsp/did-open',
    summary: 'Tell the language server of a file, with what is on disk now',
    query: Empty,
    bodyKind: 'json',
    body: LspDocument,
    status: 200,
    output: Nothing,
    errors: [...bodyErrors, ...documentErrors],
  }),
  closeLspDocument: defineOperation({
    method: 'POST',
    path: '/lsp/did-close',
    summary: 'Tell the language server that a file is no longer looked at',
    query: Empty,
    bodyKind: 'json',
    body: LspDocument,
    status: 200,
    output: Nothing,
    errors: [...bodyErrors, ...serverErrors],
  }),
  getLspCompletions: defineOperation({
    method: 'POST',
    path: '/lsp/completions',
    summary: 'What could stand at a position',
    query: Empty,
    bodyKind: 'json',
    body: CompletionParams,
    status: 200,
    output: LspCompletionList,
    errors: [...bodyErrors, ...documentErrors],
  }),
  getLspDocumentSymbols: defineOperation({
    method: 'GET',
    path: '/lsp/document-symbols',
    summary: 'The symbols of a file, as a flat list',
    query: LspDocument,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Array(LspSymbol),
    errors: documentErrors,
  }),
  getLspWorkspaceSymbols: defineOperation({
    method: 'GET',
    path: '/lsp/workspace-symbols',
    aliases: ['/lsp/workspacesymbols'],
    summary: 'The symbols of a project whose names match',
    query: Type.Object({ ...serverFields, query: Type.String() }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Array(LspSymbol),
    errors: serverErrors,
  }),
} as const

/** The same language servers, for editors. */
export const lspChannels = {
  connectLsp: defineChannel({
    path: '/lsp/connect',
    summary: 'Speak JSON-RPC with the language server of a project, which is started when it does not run',
    description:
      'Text frames, one JSON-RPC 2.0 message each, as the Language Server Protocol has them without their headers. ' +
      'The server is shared: `initialize` is answered with what it said at its start, `shutdown` and `exit` end this ' +
      'connection only, and requests of the server are answered by the toolbox. After a crash the server is started ' +
      'again with the documents that are open, and `window/showMessage` says so. ' +
      'Closes with 1000 after `exit`, 1001 when the server was stopped, 1008 for a client that reads too slowly, ' +
      '1011 when the server cannot be kept alive.',
    query: Server,
    errors: [...serverErrors, 'VALIDATION_FAILED', 'FILE_NOT_FOUND', 'RATE_LIMITED'],
  }),
} as const
