import type { IncomingMessage } from 'node:http'
import type { TrustedProxies } from './trusted-proxies.ts'

/** A host name, an IPv4 address or an IPv6 one in brackets, and perhaps a port. */
const SANE_HOST = /^(?:[\w.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i

/** How a request was addressed. */
export type Addressed = Pick<IncomingMessage, 'headers' | 'socket'>

/** What stands before `/api` in the URLs that a client is told; without a slash at its end. */
export type PublicOrigin = (request: Addressed) => string

export interface PublicOriginOptions {
  publicUrl: string | undefined
  proxies: Pick<TrustedProxies, 'trusts'>
}

/** The configured URL; without one, how this request itself was addressed, by the word of a trusted proxy if one brings it. */
export function createPublicOrigin({ publicUrl, proxies }: PublicOriginOptions): PublicOrigin {
  return (request) => {
    if (publicUrl !== undefined) return publicUrl
    const isProxied = proxies.trusts(request.socket.remoteAddress)
    const forwarded = (name: string) => (isProxied ? lastOf(request.headers[name]) : undefined)
    // There is no TLS here.
    const protocol = forwarded('x-forwarded-proto') === 'https' ? 'https' : 'http'
    const hosts = [forwarded('x-forwarded-host'), request.headers.host]
    return `${protocol}://${hosts.find(isSaneHost) ?? addressOf(request)}`
  }
}

/** What the nearest of several proxies said. */
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
