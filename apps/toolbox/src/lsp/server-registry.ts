import { stat } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'
import type { FeatureParts } from '../feature.ts'
import type { LanguageServer } from './language-server.ts'
import { createLanguageServer, notInitialized } from './language-server.ts'
import type { LanguageServerKind } from './language-servers.ts'
import { findServerProgram, serverKind } from './language-servers.ts'
import { startServerProcess } from './server-process.ts'

/** Language servers that may be started at the same time; each can take hundreds of megabytes. */
export const MAX_LANGUAGE_SERVERS = 8

/** The address of a language server, as calls give it. */
export interface ServerAddress {
  languageId: string
  pathToProject: string
}

/** A started server, with its kind and project. */
export interface ProjectServer {
  readonly server: LanguageServer
  readonly kind: LanguageServerKind
  /** An absolute path. */
  readonly projectDir: string
}

/** The language servers of a sandbox: one for each kind and project. */
export interface ServerRegistry extends AsyncDisposable {
  /** Returns a started server. Throws LSP_SERVER_NOT_INITIALIZED and VALIDATION_FAILED. */
  get(address: ServerAddress): ProjectServer
  /**
   * Starts a server that is not started. Throws VALIDATION_FAILED, FILE_NOT_FOUND for a project that is not a folder,
   * RATE_LIMITED, LSP_SERVER_NOT_INSTALLED and LSP_SERVER_CRASHED.
   */
  start(address: ServerAddress): Promise<ProjectServer>
  /** Ends a server. Throws NOT_FOUND when it was not started. */
  stop(address: ServerAddress): Promise<void>
}

export function createServerRegistry(parts: FeatureParts): ServerRegistry {
  const servers = new Map<string, ProjectServer>()

  function locate({ languageId, pathToProject }: ServerAddress) {
    const kind = serverKind(languageId)
    const projectDir = withoutTrailingSlash(parts.work.resolve(pathToProject).toString())
    return { key: `${kind.kind} ${projectDir}`, kind, projectDir }
  }

  function create({ kind, projectDir }: Pick<ProjectServer, 'kind' | 'projectDir'>): ProjectServer {
    const { initializationOptions } = kind
    const env = parts.commandEnv
    const server = createLanguageServer({
      start: async (onNotification) => {
        const program = await findServerProgram(kind, env['PATH'] ?? '')
        return startServerProcess({
          ...program,
          projectDir,
          env,
          groups: parts.groups,
          onNotification,
          initializationOptions,
        })
      },
      log: parts.log,
    })
    return { server, kind, projectDir }
  }

  return {
    get(address) {
      const found = servers.get(locate(address).key)
      if (found === undefined) throw notInitialized()
      return found
    },
    async start(address) {
      const { key, kind, projectDir } = locate(address)
      await checkFolder(projectDir)
      const known = servers.get(key)
      if (known === undefined && servers.size >= MAX_LANGUAGE_SERVERS) {
        throw new AppError(
          'RATE_LIMITED',
          `${MAX_LANGUAGE_SERVERS} language servers are started already; stop one first`,
        )
      }
      const found = known ?? create({ kind, projectDir })
      servers.set(key, found)
      found.server.forgive()
      try {
        await found.server.ready()
      } catch (error) {
        // A server that never ran is not kept.
        if (known === undefined && servers.get(key) === found) servers.delete(key)
        throw error
      }
      return found
    },
    async stop(address) {
      const { key } = locate(address)
      const found = servers.get(key)
      if (found === undefined)
        throw new AppError('NOT_FOUND', 'no language server of this language and project is started')
      servers.delete(key)
      await found.server[Symbol.asyncDispose]()
    },
    async [Symbol.asyncDispose]() {
      const all = [...servers.values()]
      servers.clear()
      await Promise.all(all.map(({ server }) => server[Symbol.asyncDispose]()))
    },
  }
}

async function checkFolder(path: string): Promise<void> {
  const stats = await stat(path).catch(() => undefined)
  if (!stats?.isDirectory()) throw new AppError('FILE_NOT_FOUND', `the project ${path} is no folder`)
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 ? path.replace(/\/+$/, '') || '/' : path
}
