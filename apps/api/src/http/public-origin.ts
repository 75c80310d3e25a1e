import type { IncomingMessage } from 'node:http'
import type { TrustedProxies } from './trusted-proxies.ts'

/** A host name, an IPv4 address or a bracketed IPv6 address, with an optional port. */
const SANE_HOST = /^(?:[\w.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i

/** The parts of a request that tell how it was addressed. */
export type Addressed = Pick<IncomingMessage, 'headers' | 'socket'>

/** Returns the part before `/api` in the URLs that a client is told; it has no slash at its end. */
export type PublicOrigin = (request: Addressed) => string

export interface PublicOriginOptions {
  publicUrl: string | undefined
  proxies: Pick<TrustedProxies, 'trusts'>
}

/**
 * Returns the configured URL; without one, the address of the request itself, taken from a trusted proxy's headers if
 * there are any.
 */
export function createPublicOrigin({ publicUrl, proxies }: PublicOriginOptions): PublicOrigin {
  return (request) => {
    if (publicUrl !== undefined) return publicUrl
    const isProxied = proxies.trusts(request.socket.remoteAddress)
    const forwarded = (name: string) => (isProxied ? lastOf(request.headers[name]) : undefined)
    // This server has no TLS itself.
    const protocol = forwarded('x-forwarded-proto') === 'https' ? 'https' : 'http'
    const hosts = [forwarded('x-forwarded-host'), request.headers.host]
    return `${protocol}://${hosts.find(isSaneHost) ?? addressOf(request)}`
  }
}

/** Returns the value that the nearest of several proxies added. */
function lastOf(header: string | string[] | undefined): string | undefined {
  return header?.toString().split(',').at(-1)?.trim()
}

function isSaneHost(host: string | undefined): boolean {
  return host !== undefined && SANE_HOST.test(host) && URL.canParse(`http://${host}`)
}

function addressOf({ socket }: Addressed): string {
  const { localAddress = '127.0.0.1', localPort = 80 } = socket
  return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`
}
