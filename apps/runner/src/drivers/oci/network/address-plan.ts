import { createHash } from 'node:crypto'
import type { Ipv4Block } from './ipv4.ts'
import { blockSize, blocksOverlap, formatIpv4, formatIpv4Block } from './ipv4.ts'

/** Prefix length of a runner's subnet: 1,024 addresses, as many as a Linux bridge has ports. */
export const SUBNET_PREFIX = 22
/** Sandboxes on one bridge: the subnet without its network, gateway and broadcast addresses. */
export const MAX_SANDBOXES = blockSize(SUBNET_PREFIX) - 3
/** Private ranges that subnets come from, in order of preference; seldom used by routers and container engines. */
const POOLS: readonly Ipv4Block[] = [
  { base: 0x0a_c8_00_00, prefix: 13 }, // 10.200.0.0/13
  { base: 0xac_18_00_00, prefix: 14 }, // 172.24.0.0/14
  { base: 0xc0_a8_80_00, prefix: 17 }, // 192.168.128.0/17
]
/** First bytes of every MAC address made here; 02 marks it as locally administered. */
const MAC_PREFIX = '02:a7'

/** Names of this runner's bridge, ports and firewall tables; interface names have at most 15 characters. */
export interface NetworkNames {
  bridge: string
  /** A port's name is this prefix and the number of its sandbox. */
  portPrefix: string
  table: string
}

/** Start of the name of every Atoll bridge on a host, whichever runner made it. */
export const BRIDGE_PREFIX = 'atoll'

/** Returns names that differ between the runners of a host and stay the same when a runner restarts. */
export function networkNames(instanceId: string): NetworkNames {
  const mark = createHash('sha256').update(instanceId).digest('hex').slice(0, 7)
  return { bridge: `${BRIDGE_PREFIX}${mark}`, portPrefix: `at${mark}p`, table: `${BRIDGE_PREFIX}_${mark}` }
}

/** A sandbox's port and addresses: all follow from its number, so that firewall rules can be made beforehand. */
export interface SandboxAddress {
  port: string
  address: string
  mac: string
}

/** The addresses of one runner's subnet. */
export interface AddressPlan {
  names: NetworkNames
  subnet: Ipv4Block
  gateway: string
  gatewayMac: string
}

/** Returns the plan for a subnet: the gateway has its first address. */
export function createAddressPlan(names: NetworkNames, subnet: Ipv4Block): AddressPlan {
  return { names, subnet, gateway: formatIpv4(subnet.base + 1), gatewayMac: macOf(subnet.base + 1) }
}

/** Returns the port and addresses of sandbox `number` (0 … MAX_SANDBOXES - 1). */
export function sandboxAddress(plan: AddressPlan, number: number): SandboxAddress {
  const address = plan.subnet.base + 2 + number
  return { port: `${plan.names.portPrefix}${number}`, address: formatIpv4(address), mac: macOf(address) }
}

/** Returns a subnet that overlaps no block of `taken`, picked at random so that runners that start together differ. */
export function pickSubnet(taken: readonly Ipv4Block[], random: () => number = Math.random): Ipv4Block | undefined {
  for (const pool of POOLS) {
    const free = subnetsOf(pool).filter((subnet) => !taken.some((block) => blocksOverlap(block, subnet)))
    const chosen = free[Math.floor(random() * free.length)]
    if (chosen) return chosen
  }
  return undefined
}

/** Returns true for a subnet that `pickSubnet` could have returned. */
export function isOwnSubnet(block: Ipv4Block): boolean {
  return block.prefix === SUBNET_PREFIX && POOLS.some((pool) => blocksOverlap(pool, block))
}

/** The pools as text, for a message. */
export const POOL_NAMES = POOLS.map(formatIpv4Block).join(', ')

function subnetsOf(pool: Ipv4Block): Ipv4Block[] {
  const count = blockSize(pool.prefix) / blockSize(SUBNET_PREFIX)
  return Array.from({ length: count }, (_, index) => ({
    base: pool.base + index * blockSize(SUBNET_PREFIX),
    prefix: SUBNET_PREFIX,
  }))
}

function macOf(address: number): string {
  const bytes = [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255]
  return [MAC_PREFIX, ...bytes.map((byte) => byte.toString(16).padStart(2, '0'))].join(':')
}
