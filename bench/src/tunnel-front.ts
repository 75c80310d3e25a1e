/*
 * The API of this benchmark: Fastify with a route that forwards each call to a tunnel that the daemon has dialled. As with
 * the API, clients come over TCP, and tunnels over TCP or the socket that hosts mount into their sandboxes.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { acceptTunnel, createTunnelServer, forwardHttp, type TunnelPeer } from '@atoll/tunnel'
import Fastify from 'fastify'
import { serveParent } from './tunnel-programs.ts'

/** `/toolbox/{name}/…` goes to the tunnel that was dialled on `/dial/{name}`. */
const PREFIX = '/toolbox/'
const DIAL_PATH = '/dial/'

const [dialHomeSocket = ''] = process.argv.slice(2)
const app = Fastify()
const tunnelServer = createTunnelServer()
const peers = new Map<string, TunnelPeer>()

// Bodies are not parsed.
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', (_request, _payload, done) => done(null))

app.all<{ Params: { id: string } }>(`${PREFIX}:id/*`, (request, reply) => {
  const { id } = request.params
  const peer = peers.get(id)
  if (peer === undefined) {
    reply.code(502).send()
    return
  }
  reply.hijack()
  forwardHttp(
    peer,
    { req: request.raw, res: reply.raw },
    {
      path: request.raw.url?.slice(PREFIX.length + id.length) ?? '/',
      onOutcome(outcome) {
        if (outcome.kind === 'failed') reply.raw.writeHead(502).end()
      },
    },
  )
})

app.get('/here', (_request, reply) => {
  reply.header('content-type', 'application/json').send('{"answered":"by the same Fastify, without a tunnel"}')
})

const dialHome = createServer()
for (const server of [app.server, dialHome]) {
  server.on('upgrade', (req, socket, head) => {
    acceptTunnel(tunnelServer, { req, socket, head }, {}).then(
      (peer) => peers.set(req.url?.slice(DIAL_PATH.length) ?? '', peer),
      () => {},
    )
  })
}

await new Promise<void>((resolve) => dialHome.listen(dialHomeSocket, resolve))
await app.listen({ port: 0, host: '127.0.0.1' })
serveParent((app.server.address() as AddressInfo).port)
