import { readFile } from 'node:fs/promises'
import { runCommand } from '../../../run-command.ts'
import type { Ipv4Block } from './ipv4.ts'
import { parseIpv4, parseIpv4Block } from './ipv4.ts'

/** MTU where the host has no default route to learn it from, in bytes. */
const DEFAULT_MTU = 1500
/** Most nameservers that resolvers use. */
const MAX_NAMESERVERS = 3

/** An IPv4 address of the host. */
export interface HostAddress {
  device: string
  address: string
  block: Ipv4Block
}

/** The host's addresses and routes at one moment. */
export interface HostNetwork {
  addresses: HostAddress[]
  /** Destinations of all routes in all tables but the default ones. */
  routes: Ipv4Block[]
  /** Devices that default routes lead through. */
  uplinks: string[]
  /** Smallest MTU of the uplinks, in bytes. */
  mtu: number
}

/** Reads addresses and routes. Throws CommandError when iproute2 is missing or refuses. */
export async function readHostNetwork(): Promise<HostNetwork> {
  const [links, routes] = await Promise.all([
    listJson(['ip', '-json', '-4', 'address', 'show']),
    listJson(['ip', '-json', '-4', 'route', 'show', 'table', 'all']),
  ])
  const uplinks = [...new Set(routes.filter((route) => route['dst'] === 'default').flatMap(routeDevices))]
  const mtus = links.filter((link) => uplinks.includes(text(link['ifname']))).map((link) => Number(link['mtu']))
  return {
    addresses: links.flatMap(addressesOf),
    routes: routes.flatMap((route) => parseIpv4Block(text(route['dst'])) ?? []),
    uplinks,
    mtu: Math.min(DEFAULT_MTU, ...mtus.filter((mtu) => mtu > 0)),
  }
}

function addressesOf(link: JsonRow): HostAddress[] {
  return rows(link['addr_info']).flatMap((entry) => {
    const address = text(entry['local'])
    const block = parseIpv4Block(`${address}/${Number(entry['prefixlen'])}`)
    return block ? [{ device: text(link['ifname']), address, block }] : []
  })
}

/** Returns the devices of a route: it has one device, or several next hops with one each. */
function routeDevices(route: JsonRow): string[] {
  return [route, ...rows(route['nexthops'])].map((hop) => text(hop['dev'])).filter((device) => device !== '')
}

/**
 * Returns the nameservers that a sandbox can use: the host's, or systemd-resolved's upstream list where the host only
 * names its own stub. Loopback, IPv6 and the host's own addresses are left out: sandboxes cannot reach them.
 */
export async function readNameservers(hostAddresses: readonly string[], etc = '/etc', run = '/run'): Promise<string[]> {
  for (const path of [`${etc}/resolv.conf`, `${run}/systemd/resolve/resolv.conf`]) {
    const usable = nameserversIn(await readOrEmpty(path)).filter((server) => !hostAddresses.includes(server))
    if (usable.length > 0) return usable.slice(0, MAX_NAMESERVERS)
  }
  return []
}

function nameserversIn(resolvConf: string): string[] {
  return resolvConf
    .split('\n')
    .flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
    .filter((server) => isUsable(parseIpv4(server)))
}

function isUsable(server: number | undefined): boolean {
  if (server === undefined) return false
  const first = server >>> 24
  return first !== 0 && first !== 127 && first < 224
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // A host without this file has no nameservers there; the caller looks elsewhere.
    return ''
  }
}

type JsonRow = Record<string, unknown>

async function listJson(argv: readonly [string, ...string[]]): Promise<JsonRow[]> {
  const { stdout } = await runCommand(argv)
  return rows(JSON.parse(stdout || '[]'))
}

function rows(value: unknown): JsonRow[] {
  return Array.isArray(value) ? value.filter((row): row is JsonRow => typeof row === 'object' && row !== null) : []
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
