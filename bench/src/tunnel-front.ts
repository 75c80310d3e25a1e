/* The API in this benchmark: Fastify, whose route hands each call to the tunnel that the daemon has dialled. */
import type { AddressInfo } from 'node:net'
import { acceptTunnel, createTunnelServer, forwardHttp, type TunnelPeer } from '@atoll/tunnel'
import Fastify from 'fastify'
import { serveParent } from './tunnel-programs.ts'

const PREFIX = '/toolbox/sandbox-1'

const app = Fastify()
const tunnelServer = createTunnelServer()
let peer: TunnelPeer | undefined

// Bodies pass by unread.
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', (_request, _payload, done) => done(null))

app.all(`${PREFIX}/*`, (request, reply) => {
  if (peer === undefined) {
    reply.code(502).send()
    return
  }
  reply.hijack()
  forwardHttp(
    peer,
    { req: request.raw, res: reply.raw },
    {
      path: request.raw.url?.slice(PREFIX.length) ?? '/',
      onOutcome(outcome) {
        if (outcome.kind === 'failed') reply.raw.writeHead(502).end()
      },
    },
  )
})

app.get('/here', (_request, reply) => {
  reply.header('content-type', 'application/json').send('{"answered":"by the same Fastify, without a tunnel"}')
})

app.server.on('upgrade', (req, socket, head) => {
  acceptTunnel(tunnelServer, { req, socket, head }, {}).then(
    (accepted) => {
      peer = accepted
    },
    () => {},
  )
})

await app.listen({ port: 0, host: '127.0.0.1' })
serveParent((app.server.address() as AddressInfo).port)
