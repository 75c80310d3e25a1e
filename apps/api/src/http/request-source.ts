import { isIPv6 } from 'node:net'

/** The leading groups that one IPv6 customer has at least to themselves: a /64. */
const NETWORK_GROUPS = 4
const GROUPS = 8
const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * Returns the name under which a request counts: its address, or for IPv6 the network, since one host has too many
 * addresses to count.
 */
export function requestSource(address: string | undefined): string {
  if (address === undefined || address === '') return 'local'
  const mapped = MAPPED_IPV4.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('%')[0]?.toLowerCase().split('::') ?? []
  const first = groups(head)
  const last = groups(tail ?? '')
  const zeros = Array.from({ length: GROUPS - first.length - last.length }, () => '0')
  return [...first, ...zeros, ...last].slice(0, NETWORK_GROUPS).join(':')
}

function groups(text: string): string[] {
  return text === '' ? [] : text.split(':').map((group) => group.replace(/^0+(?=.)/, ''))
}
