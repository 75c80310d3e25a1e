import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import proxyAddress from '@fastify/proxy-addr'

const PREFIX = /^\d{1,3}$/
const MAX_PREFIX: Readonly<Record<number, number>> = { 4: 32, 6: 128 }

/** Reverse proxies in front of the public port: only their headers about a request are believed. */
export interface TrustedProxies {
  /** Whether an address belongs to a trusted proxy. Undefined, a Unix socket, never does. */
  trusts(address: string | undefined): boolean
  /**
   * Returns the client's address: behind trusted proxies, the last address in `X-Forwarded-For` that is no trusted
   * proxy. Undefined for a Unix socket.
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

/** Reads a comma-separated list. Each problem names the wrong entry; a network that holds every address is one. */
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
