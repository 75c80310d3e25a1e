/* What a control plane does that can dial its daemons: Fastify with an ordinary HTTP proxy hop. */
import type { AddressInfo } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import { serveParent } from './tunnel-programs.ts'

/** As many connections to the daemon as calls may be in flight here. */
const UPSTREAM_CONNECTIONS = 256

const [upstream = ''] = process.argv.slice(2)
const app = Fastify()
// As its README registers it.
await app.register(httpProxy, { upstream, prefix: '/proxy' })
await app.register(httpProxy, {
  upstream,
  prefix: '/tuned-proxy',
  undici: { connections: UPSTREAM_CONNECTIONS, pipelining: 1 },
})
await app.listen({ port: 0, host: '127.0.0.1' })
serveParent((app.server.address() as AddressInfo).port)
