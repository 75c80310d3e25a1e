import type { FastifyRequest } from 'fastify'

/** The number of segments in `/api/toolbox/{sandboxId}/toolbox`; the rest of the path belongs to the toolbox. */
const OWN_SEGMENTS = 4
/** The number of segments in `/api/toolbox-proxy/{sandboxId}`. */
const PROXY_SEGMENTS = 3

/** Returns the rest of the request target, byte for byte as the client sent it. */
export function toolboxTarget(request: FastifyRequest): string {
  const url = request.raw.url ?? '/'
  const ownSegments = isProxyRoute(request) ? PROXY_SEGMENTS : OWN_SEGMENTS
  let at = 0
  for (let segment = 0; segment < ownSegments; segment++) at = url.indexOf('/', at + 1)
  return url.slice(at)
}

function isProxyRoute({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.url?.startsWith('/api/toolbox-proxy/') ?? false
}
