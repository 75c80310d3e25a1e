import type { lspChannels } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { ChannelHandler } from '../channels/channel.ts'
import type { ChannelSocket } from '../channels/channel-socket.ts'
import { CLOSE_ERROR, CLOSE_NORMAL } from '../channels/channel-socket.ts'
import { createEditorConnection } from './editor-connection.ts'
import type { ServerRegistry } from './server-registry.ts'

const CLOSE_GOING_AWAY = 1001

/** Connects an editor to a shared language server: each text frame is one JSON-RPC message. */
export function createEditorChannel(registry: ServerRegistry): ChannelHandler<typeof lspChannels.connectLsp> {
  return async ({ query }) => {
    const { server } = await registry.start(query)
    return { attach: (socket) => connect(socket, server) }
  }
}

function connect(socket: ChannelSocket, server: Awaited<ReturnType<ServerRegistry['start']>>['server']): void {
  const send = (message: object) => {
    // Stops reading from an editor that does not read, so that it causes no more answers; the socket bounds notifications.
    if (!socket.send(JSON.stringify(message))) socket.pause()
  }
  const editor = createEditorConnection({ server, send, onExit: () => socket.close(CLOSE_NORMAL) })
  const leave = server.listen(editor.holder, {
    notify: (method, params) => send({ jsonrpc: '2.0', method, params }),
    end(reason) {
      if (reason === 'stopped') socket.close(CLOSE_GOING_AWAY, 'the language server was stopped')
      else socket.close(CLOSE_ERROR, 'the language server cannot be kept alive')
    },
  })
  socket.listen({
    onMessage: (message) => editor.take(message.toString()),
    onDrain: () => socket.resume(),
    onClose() {
      leave()
      editor.cancelAll(new AppError('BAD_REQUEST', 'the editor is gone'))
    },
  })
}
