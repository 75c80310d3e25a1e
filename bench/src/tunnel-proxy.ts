/* A control plane that can dial its daemons: Fastify with an ordinary HTTP proxy hop. */
import type { AddressInfo } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import { serveParent } from './tunnel-programs.ts'

/** The connections to the daemon: as many as there may be calls in flight here. */
const UPSTREAM_CONNECTIONS = 256

const [upstream = ''] = process.argv.slice(2)
const app = Fastify()
// The first proxy is registered as in the README of @fastify/http-proxy.
await app.register(httpProxy, { upstream, prefix: '/proxy' })
await app.register(httpProxy, {
  upstream,
  prefix: '/tuned-proxy',
  undici: { connections: UPSTREAM_CONNECTIONS, pipelining: 1 },
})
await app.listen({ port: 0, host: '127.0.0.1' })
serveParent((app.server.address() as AddressInfo).port)
