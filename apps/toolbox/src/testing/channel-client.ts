import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TunnelPeer } from '@atoll/tunnel'
import { forwardUpgrade } from '@atoll/tunnel'
import { WebSocket } from 'ws'

const STEP_DEADLINE_MS = 60_000

export interface ChannelOptions {
  headers?: Record<string, string>
  subprotocols?: string[]
}

/** A real WebSocket client of a toolbox, through an HTTP server that forwards to the tunnel as the API does. */
export interface ChannelClient {
  readonly socket: WebSocket
  /** Messages that have arrived and were not taken, text as strings. */
  readonly messages: (string | Buffer)[]
  /** Returns the next message. Rejects when the socket closes first, or after 60 s. */
  next(): Promise<string | Buffer>
  /** Returns all binary messages so far and to come, as one text, once it contains `words`. */
  until(words: string): Promise<string>
  readonly closed: Promise<{ code: number; reason: string }>
}

export interface ChannelFront extends AsyncDisposable {
  readonly url: string
  /** Resolves once open; rejects with `Unexpected server response: 404` and the like. */
  connect(path: string, options?: ChannelOptions): Promise<ChannelClient>
}

export async function startChannelFront(peer: TunnelPeer): Promise<ChannelFront> {
  const server = createServer()
  server.on('upgrade', (req, socket, head) => {
    forwardUpgrade(peer, { req, socket, head }, { path: req.url ?? '/', onOutcome: () => {} })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
  const sockets = new Set<WebSocket>()
  return {
    url,
    async connect(path, { headers = {}, subprotocols = [] } = {}) {
      const socket = new WebSocket(url + path, subprotocols, { headers, perMessageDeflate: false })
      sockets.add(socket)
      const client = wrap(socket)
      await once(socket, 'open')
      return client
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.terminate()
      server.closeAllConnections()
      server.close()
    },
  }
}

function wrap(socket: WebSocket): ChannelClient {
  const messages: (string | Buffer)[] = []
  let wake = () => {}
  socket.on('error', () => {})
  socket.on('message', (data: Buffer, isBinary) => {
    messages.push(isBinary ? data : data.toString())
    wake()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once('close', (code, reason) => {
      resolve({ code, reason: reason.toString() })
      wake()
    })
  })
  async function next(): Promise<string | Buffer> {
    const deadline = AbortSignal.timeout(STEP_DEADLINE_MS)
    for (;;) {
      const message = messages.shift()
      if (message !== undefined) return message
      if (socket.readyState === WebSocket.CLOSED) throw new Error('the socket has closed')
      deadline.throwIfAborted()
      await new Promise<void>((resolve) => {
        wake = resolve
        deadline.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }
  return {
    socket,
    messages,
    next,
    async until(words) {
      let text = ''
      while (!text.includes(words)) text += (await next()).toString()
      return text
    },
    closed,
  }
}
