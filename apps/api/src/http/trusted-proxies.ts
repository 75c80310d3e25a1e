import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import proxyAddress from '@fastify/proxy-addr'

const PREFIX = /^\d{1,3}$/
const MAX_PREFIX: Readonly<Record<number, number>> = { 4: 32, 6: 128 }

/** Reverse proxies in front of the public port: what they say of a request counts, and what anybody else says does not. */
export interface TrustedProxies {
  /** Whether an address is one of theirs. Undefined, a Unix socket, never is. */
  trusts(address: string | undefined): boolean
  /**
   * Where a request comes from: behind trusted proxies the last address in `X-Forwarded-For` that is none of theirs.
   * Undefined for a Unix socket.
   */
  clientOf(request: IncomingMessage): string | undefined
}

/** Each of `addresses` is an IP address or, with a prefix, a network. */
export function createTrustedProxies(addresses: readonly string[]): TrustedProxies {
  const isTheirs = proxyAddress.compile([...addresses])
  const trusts = (address: string | undefined) => address !== undefined && isTheirs(address, 0)
  return {
    trusts,
    clientOf: (request) =>
      trusts(request.socket.remoteAddress) ? proxyAddress(request, isTheirs) : request.socket.remoteAddress,
  }
}

/** Takes a list between commas apart. Problems are told with what is wrong; a network that holds everybody is one. */
export function readTrustedProxies(text: string | undefined): { addresses: readonly string[]; problems: string[] } {
  const addresses = (text ?? '').split(',').flatMap((part) => part.trim() || [])
  const wrong = addresses.filter((address) => !isNetwork(address))
  return { addresses, problems: wrong.map((address) => `ATOLL_TRUSTED_PROXIES: ${address} is no address or network`) }
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, more] = text.split('/')
  const max = MAX_PREFIX[isIP(address)]
  if (max === undefined || more !== undefined) return false
  return prefix === undefined || (PREFIX.test(prefix) && Number(prefix) >= 1 && Number(prefix) <= max)
}
