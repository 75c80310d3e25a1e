import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ForwardOptions, type ForwardOutcome, forwardHttp } from '../forward-http.ts'
import { forwardUpgrade } from '../forward-upgrade.ts'
import type { TunnelPeer } from '../types.ts'

/** An HTTP server on loopback that passes every call through a tunnel, as the API does. */
export interface Front extends AsyncDisposable {
  readonly port: number
  readonly server: Server
  /** Resolves with the next outcome that was not returned before. */
  nextOutcome(): Promise<ForwardOutcome>
}

export async function startFront(
  peer: TunnelPeer,
  extra: Pick<ForwardOptions, 'acceptResponse' | 'answerDeadlineMs'> = {},
): Promise<Front> {
  const outcomes: ForwardOutcome[] = []
  const waiting: ((outcome: ForwardOutcome) => void)[] = []
  const onOutcome = (outcome: ForwardOutcome) => {
    const next = waiting.shift()
    if (next === undefined) outcomes.push(outcome)
    else next(outcome)
  }
  const server = createServer((req, res) => {
    forwardHttp(
      peer,
      { req, res },
      {
        path: req.url ?? '/',
        headers: { 'x-from': 'front' },
        dropHeaders: new Set(['authorization']),
        responseHeaders: { 'x-request-id': '7' },
        ...extra,
        onOutcome(outcome) {
          if (outcome.kind === 'failed') res.writeHead(502).end(outcome.error.code)
          if (outcome.kind === 'refused') res.writeHead(503).end('refused')
          onOutcome(outcome)
        },
      },
    )
  })
  server.on('upgrade', (req, socket, head) => {
    forwardUpgrade(
      peer,
      { req, socket, head },
      {
        path: req.url ?? '/',
        ...extra,
        onOutcome(outcome) {
          if (outcome.kind === 'failed' || outcome.kind === 'refused')
            socket.end('HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n')
          onOutcome(outcome)
        },
      },
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    server,
    nextOutcome: () =>
      new Promise((resolve) => {
        const ready = outcomes.shift()
        if (ready === undefined) waiting.push(resolve)
        else resolve(ready)
      }),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}
