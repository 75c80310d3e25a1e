import { readFile, stat } from 'node:fs/promises'
import type { LspCompletionList, lspOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { FeatureParts, HandlersOf } from '../feature.ts'
import { fsError } from '../files/fs-error.ts'
import { canonicalUri, documentPath } from './document-uri.ts'
import { findProjectFile } from './find-project-file.ts'
import { documentLanguage } from './language-servers.ts'
import { MAX_DOCUMENT_LENGTH } from './open-documents.ts'
import type { ProjectServer, ServerRegistry } from './server-registry.ts'
import { toCompletionList, toSymbols } from './to-contract.ts'

/** The holder of documents opened by REST callers, which count as one. */
const REST = {}

/** Returns the operations of §18 over the registry's servers. */
export function createLspHandlers(
  registry: ServerRegistry,
  { work }: Pick<FeatureParts, 'work'>,
): HandlersOf<typeof lspOperations> {
  return {
    async startLsp({ body }) {
      await registry.start(body)
      return undefined
    },
    async stopLsp({ body }) {
      await registry.stop(body)
      return undefined
    },
    async openLspDocument({ body }) {
      const project = registry.get(body)
      await project.server.ready()
      await open(project, pathOf(project, body.uri))
      return undefined
    },
    async closeLspDocument({ body }) {
      const project = registry.get(body)
      project.server.documents.close(REST, canonicalUri(pathOf(project, body.uri)))
      return undefined
    },
    async getLspCompletions({ body }): Promise<LspCompletionList> {
      const project = registry.get(body)
      const uri = await ensureOpen(project, pathOf(project, body.uri))
      const { position, context = { triggerKind: 1 } } = body
      const params = { textDocument: { uri }, position, context }
      return toCompletionList(await project.server.request('textDocument/completion', params))
    },
    async getLspDocumentSymbols({ query }) {
      const project = registry.get(query)
      const uri = await ensureOpen(project, pathOf(project, query.uri))
      const found = await project.server.request('textDocument/documentSymbol', { textDocument: { uri } })
      return toSymbols(found, uri)
    },
    async getLspWorkspaceSymbols({ query }) {
      const project = registry.get(query)
      await openSomething(project)
      return toSymbols(await project.server.request('workspace/symbol', { query: query.query }))
    },
  }

  function pathOf({ projectDir }: ProjectServer, uri: string): string {
    return work.resolve(documentPath(uri, projectDir)).toString()
  }
}

async function open({ server, kind }: ProjectServer, path: string): Promise<string> {
  const uri = canonicalUri(path)
  server.documents.open(REST, { uri, languageId: documentLanguage(kind, path), text: await readDocument(path) })
  return uri
}

/** Opens a document that no REST caller has opened: a server knows only open documents. */
async function ensureOpen(project: ProjectServer, path: string): Promise<string> {
  await project.server.ready()
  const uri = canonicalUri(path)
  return project.server.documents.isOpen(REST, uri) ? uri : open(project, path)
}

/** Opens a file when none is open, because TypeScript's server knows of no project before. */
async function openSomething(project: ProjectServer): Promise<void> {
  await project.server.ready()
  if (project.server.documents.size > 0) return
  const file = await findProjectFile(project.projectDir, project.kind.endings)
  if (file !== undefined) await open(project, file)
}

async function readDocument(path: string): Promise<string> {
  try {
    const stats = await stat(path)
    if (!stats.isFile()) throw new AppError('INVALID_FILE_PATH', `${path} is no file`)
    if (stats.size > MAX_DOCUMENT_LENGTH) {
      throw new AppError('BAD_REQUEST', `a document must not be larger than ${MAX_DOCUMENT_LENGTH} bytes`)
    }
    return await readFile(path, 'utf8')
  } catch (error) {
    throw fsError(error, Buffer.from(path), 'FILE_READ_FAILED')
  }
}
