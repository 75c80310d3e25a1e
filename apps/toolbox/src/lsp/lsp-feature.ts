import type { lspChannels, lspOperations } from '@atoll/protocol'
import type { Feature, FeatureParts, HandlersOf } from '../feature.ts'
import type { ServerRegistry } from './server-registry.ts'

/** Runs language servers. The modules are loaded when the first server is started. */
export function createLspFeature(parts: FeatureParts): Feature<typeof lspOperations, typeof lspChannels> {
  let loading: Promise<{ registry: ServerRegistry; handlers: HandlersOf<typeof lspOperations> }> | undefined

  async function load() {
    const [{ createServerRegistry }, { createLspHandlers }] = await Promise.all([
      import('./server-registry.ts'),
      import('./lsp-handlers.ts'),
    ])
    const registry = createServerRegistry(parts)
    return { registry, handlers: createLspHandlers(registry, parts) }
  }

  const loaded = () => {
    loading ??= load()
    return loading
  }

  return {
    handlers: {
      startLsp: async (call) => (await loaded()).handlers.startLsp(call),
      stopLsp: async (call) => (await loaded()).handlers.stopLsp(call),
      openLspDocument: async (call) => (await loaded()).handlers.openLspDocument(call),
      closeLspDocument: async (call) => (await loaded()).handlers.closeLspDocument(call),
      getLspCompletions: async (call) => (await loaded()).handlers.getLspCompletions(call),
      getLspDocumentSymbols: async (call) => (await loaded()).handlers.getLspDocumentSymbols(call),
      getLspWorkspaceSymbols: async (call) => (await loaded()).handlers.getLspWorkspaceSymbols(call),
    },
    channels: {
      connectLsp: async (call) => {
        const [{ registry }, { createEditorChannel }] = await Promise.all([loaded(), import('./editor-channel.ts')])
        return createEditorChannel(registry)(call)
      },
    },
    async [Symbol.asyncDispose]() {
      await (await loading)?.registry[Symbol.asyncDispose]()
    },
  }
}
