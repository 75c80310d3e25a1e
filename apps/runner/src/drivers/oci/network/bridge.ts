import { runCommand } from '../../../run-command.ts'
import type { AddressPlan, NetworkNames } from './address-plan.ts'
import {
  createAddressPlan,
  isOwnSubnet,
  POOL_NAMES,
  pickSubnet,
  SUBNET_PREFIX,
  sandboxAddress,
} from './address-plan.ts'
import { firewallRules } from './firewall-rules.ts'
import { passForeignFirewall } from './foreign-firewall.ts'
import type { HostNetwork } from './host-network.ts'
import { readHostNetwork, readNameservers } from './host-network.ts'
import { turnForwardingOn } from './ip-forwarding.ts'
import { blocksOverlap, parseIpv4Block } from './ipv4.ts'
import { deviceExists, withoutIpv6 } from './network-devices.ts'
import { findPorts } from './ports.ts'
import type { Restriction } from './restrictions.ts'

/** Attempts to pick a subnet that no other runner, starting at the same moment, picks too. */
const SUBNET_ATTEMPTS = 5
/** Time after which a bridge forgets the port of a silent address, in hundredths of a second: a day. */
const AGEING_CENTISECONDS = 8_640_000

export interface OpenBridge {
  plan: AddressPlan
  /** MTU of sandboxes, in bytes. */
  mtu: number
  nameservers: readonly string[]
  /** Restrictions in force for sandboxes that a killed run left, by address. */
  restrictions: ReadonlyMap<string, Restriction>
}

/**
 * Brings up this runner's bridge with its firewall tables, forwarding and accept rules in the host's firewall.
 * A bridge that a killed run left keeps its subnet. Throws an Error whose message says what the host lacks.
 */
export async function openBridge(
  names: NetworkNames,
  restrictionOf: (sandboxId: string) => Restriction,
): Promise<OpenBridge> {
  const host = await readHostNetwork()
  const nameservers = await readNameservers(host.addresses.map(({ address }) => address))
  const plan = takeOver(names, host) ?? (await claimSubnet(names, { host, nameservers }))
  const routesForAtollOnly = await turnForwardingOn(names.bridge)
  const { held } = await findPorts(plan)
  const restrictions = new Map(
    [...held].map(([sandboxId, number]) => [sandboxAddress(plan, number).address, restrictionOf(sandboxId)]),
  )
  // The rules are in force before the bridge lets the first packet through.
  await runCommand(['nft', '-f', '-'], {
    input: firewallRules(plan, { uplinks: host.uplinks, nameservers, routesForAtollOnly, restrictions }),
  })
  await runCommand(['ip', 'link', 'set', 'dev', names.bridge, 'up'])
  await passForeignFirewall(names.bridge)
  return { plan, mtu: host.mtu, nameservers, restrictions }
}

function takeOver(names: NetworkNames, host: HostNetwork): AddressPlan | undefined {
  const own = host.addresses.find(({ device }) => device === names.bridge)
  if (!own || !isOwnSubnet(own.block) || isTakenTwice(own.block, { host, bridge: names.bridge })) return undefined
  const plan = createAddressPlan(names, own.block)
  return plan.gateway === own.address ? plan : undefined
}

/**
 * Gives the bridge a subnet and checks that no other bridge has taken it: two runners that start together see each
 * other's address before either goes on, and choose again.
 */
async function claimSubnet(
  names: NetworkNames,
  around: { host: HostNetwork; nameservers: readonly string[] },
): Promise<AddressPlan> {
  let { host } = around
  for (let attempt = 0; attempt < SUBNET_ATTEMPTS; attempt += 1) {
    if (await deviceExists(names.bridge)) await runCommand(['ip', 'link', 'delete', 'dev', names.bridge])
    const subnet = pickSubnet([
      ...host.addresses.filter(({ device }) => device !== names.bridge).map(({ block }) => block),
      ...host.routes,
      ...around.nameservers.flatMap((server) => parseIpv4Block(server) ?? []),
    ])
    if (!subnet) throw new Error(`every subnet of ${POOL_NAMES} overlaps a route or address of this host`)
    const plan = createAddressPlan(names, subnet)
    await addBridge(plan)
    host = await readHostNetwork()
    if (!isTakenTwice(subnet, { host, bridge: names.bridge })) return plan
  }
  throw new Error(`no subnet stayed free in ${SUBNET_ATTEMPTS} attempts`)
}

async function addBridge({ names: { bridge }, gateway, gatewayMac }: AddressPlan): Promise<void> {
  const options = `stp_state 0 mcast_snooping 0 ageing_time ${AGEING_CENTISECONDS}`
  const batch = `link add name ${bridge} address ${gatewayMac} type bridge ${options}
${await withoutIpv6(bridge)}address add ${gateway}/${SUBNET_PREFIX} dev ${bridge}
`
  await runCommand(['ip', '-batch', '-'], { input: batch })
}

function isTakenTwice(
  subnet: HostNetwork['routes'][number],
  { host, bridge }: { host: HostNetwork; bridge: string },
): boolean {
  return host.addresses.some(({ device, block }) => device !== bridge && blocksOverlap(block, subnet))
}
