import type { IncomingMessage, ServerResponse } from 'node:http'
import { METHODS } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Logger } from '@atoll/service'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { createHttpServer } from '../http/http-server.ts'
import type { RequestObserver } from '../http/request-observer.ts'
import type { TrustedProxies } from '../http/trusted-proxies.ts'
import { withoutSandboxToken } from '../toolbox/sandbox-token.ts'
import { isUpgrade, routeUpgrade } from '../toolbox/upgrade-requests.ts'
import { answerRefusal } from './preview-answer.ts'
import { readShownTokens, writeTokenCookie } from './preview-credentials.ts'
import type { PreviewForward } from './preview-forward.ts'
import type { PreviewHosts } from './preview-hosts.ts'
import { PreviewRefused, refusals } from './preview-refusal.ts'
import type { OpenPreview, PreviewService } from './preview-service.ts'

export interface PreviewServerOptions {
  hosts: PreviewHosts
  previews: PreviewService
  forwardPreview: PreviewForward
  requests: RequestObserver
  proxies: Pick<TrustedProxies, 'trusts'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The second server on the public port: it answers every request to a preview's host, and nothing else. */
export interface PreviewServer {
  /** Whether the request names a preview's host. If so, no other part may answer it. */
  owns(request: IncomingMessage): boolean
  handle(request: IncomingMessage, response: ServerResponse): void
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  close(): Promise<void>
}

/** All requests take this one route: only the sandbox knows what their paths mean. */
const ROUTE = '/preview'

export async function createPreviewServer(options: PreviewServerOptions): Promise<PreviewServer> {
  const { hosts, requests } = options
  const app = createHttpServer({ ...options, rewriteUrl: () => ROUTE })
  await app.register(requests.plugin)
  await app.register(previewRoute, options)
  await app.ready()
  return {
    owns: ({ headers }) => hosts.parse(headers.host) !== undefined,
    handle: (request, response) => app.routing(request, response),
    upgrade: (request, socket, head) => routeUpgrade(app, request, { socket, head }),
    close: () => app.close(),
  }
}

const previewRoute: FastifyPluginAsync<PreviewServerOptions> = async (app, options) => {
  const { hosts, previews, forwardPreview, now } = options
  acceptEverything(app)

  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    reply.hijack()
    await show(request, reply).catch((error: unknown) => {
      const isRefused = error instanceof PreviewRefused
      if (!isRefused) options.log.error({ err: error, requestId: request.id }, 'a preview failed')
      answerRefusal({ request, reply }, isRefused ? error : refusals.failed(), now())
    })
  }

  async function show(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const address = hosts.parse(request.headers.host)
    if (address === undefined || address === 'unknown') throw refusals.noAddress()
    const target = request.originalUrl
    // Refuses `*`, and an absolute URL, which may name another host.
    if (!target.startsWith('/')) throw refusals.badRequest('The request must name a path.')
    const preview = await previews.open(address, (id) => readShownTokens(target, request.headers, id))
    if (preview.admission === 'query' && isPageLoad(request)) continueWithCookie(preview, request, reply)
    else forwardPreview(preview, { request, reply, target, port: address.port })
  }

  /** Moves the token from the address to a cookie: in a page's address the program behind it would see the token. */
  function continueWithCookie({ sandboxId }: OpenPreview, request: FastifyRequest, reply: FastifyReply): void {
    const { originalUrl: target } = request
    const token = readShownTokens(target, {}, sandboxId).query ?? ''
    reply.raw.writeHead(302, {
      'set-cookie': writeTokenCookie({ sandboxId, token, secure: hosts.isSecure(request) }),
      location: onThisHost(withoutSandboxToken(target)),
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'content-length': 0,
    })
    reply.raw.end()
  }

  app.route({ method: app.supportedMethods, url: ROUTE, config: { proxied: true }, handler: serve })
}

/** Accepts every method of HTTP, and bodies of any kind, which are not read here. */
function acceptEverything(app: FastifyInstance): void {
  const others = METHODS.filter((method) => method !== 'CONNECT' && !app.supportedMethods.includes(method))
  for (const method of others) app.addHttpMethod(method, { hasBody: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
}

/** Whether a browser loads a page by itself: it follows a redirect and keeps the cookie. */
function isPageLoad(request: FastifyRequest): boolean {
  return request.method === 'GET' && request.headers['sec-fetch-dest'] === 'document' && !isUpgrade(request.raw)
}

/** Removes extra slashes: `//host/path` would lead to another host. */
function onThisHost(target: string): string {
  return target.replace(/^[/\\]+/, '/')
}
