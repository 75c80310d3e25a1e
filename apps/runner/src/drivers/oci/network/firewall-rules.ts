import type { AddressPlan } from './address-plan.ts'
import { BRIDGE_PREFIX, MAX_SANDBOXES, sandboxAddress } from './address-plan.ts'
import { formatIpv4Block } from './ipv4.ts'
import type { Restriction } from './restrictions.ts'
import { RESTRICTION_SETS, restrictionElements } from './restrictions.ts'

/** Most connections that a sandbox may have open through NAT, so that none can fill the host's connection table. */
export const MAX_CONNECTIONS = 4_096
/** Addresses that clouds answer with a machine's credentials: link-local, Alibaba's, Oracle's. */
const METADATA = '169.254.0.0/16, 100.100.100.200, 192.0.0.192'
/** Azure's platform address gives out secrets on these ports, and is Azure's nameserver on 53. */
const AZURE_PLATFORM = 'ip daddr 168.63.129.16 tcp dport { 80, 443, 32526 }'

/** Facts that the rules depend on beside the address plan. */
export interface FirewallFacts {
  /** Devices of default routes: bridges among them lead off the machine, all others to neighbours on it. */
  uplinks: readonly string[]
  /** Nameservers, reachable on port 53 even where their address is otherwise closed, as on clouds with link-local DNS. */
  nameservers: readonly string[]
  /** True when Atoll made this host forward packets: the rules then keep the host from routing for its neighbours. */
  routesForAtollOnly: boolean
  /** Restrictions of the sandboxes that exist already, by address. */
  restrictions: ReadonlyMap<string, Restriction>
}

/** Returns the commands that replace this runner's tables with the rules in docs/spec/isolation.md, all at once or not at all. */
export function firewallRules(plan: AddressPlan, facts: FirewallFacts): string {
  return `${removeFirewallRules(plan)}${bridgeTable(plan)}${inetTable(plan, facts)}`
}

/** Returns the commands that remove this runner's tables, whether they exist or not. */
export function removeFirewallRules({ names: { table } }: Pick<AddressPlan, 'names'>): string {
  return ['bridge', 'inet'].map((family) => `table ${family} ${table}\ndelete table ${family} ${table}\n`).join('')
}

/**
 * Returns the rules on frames that a sandbox sends: only IPv4 and ARP, only from the addresses of its port.
 * All ports are listed from the start, so that adding a sandbox changes no rule.
 */
function bridgeTable(plan: AddressPlan): string {
  const ports = Array.from({ length: MAX_SANDBOXES }, (_, number) => {
    const { port, mac, address } = sandboxAddress(plan, number)
    return `"${port}" . ${mac} . ${address}`
  })
  return `
table bridge ${plan.names.table} {
  counter spoofed {}
  set ports {
    type ifname . ether_addr . ipv4_addr
    elements = { ${ports.join(', ')} }
  }
  chain from_ports {
    type filter hook prerouting priority -300; policy accept;
    iifname "${plan.names.portPrefix}*" jump own_address_only
  }
  chain own_address_only {
    ether type ip iifname . ether saddr . ip saddr @ports accept
    ether type arp iifname . arp saddr ether . arp saddr ip @ports iifname . ether saddr . arp saddr ip @ports accept
    counter name spoofed drop
  }
}
`
}

/**
 * Returns the rules on packets. Packets from sandboxes are checked before any address translation of the host's, so that a
 * port that a container engine publishes does not bypass the rules.
 */
function inetTable({ names, subnet }: AddressPlan, facts: FirewallFacts): string {
  const { bridge, table } = names
  const ownBlock = formatIpv4Block(subnet)
  const nameservers = facts.nameservers.join(', ')
  const dns = nameservers === '' ? '' : `ip daddr { ${nameservers} } meta l4proto { tcp, udp } th dport 53 accept`
  const notUplink = facts.uplinks.length === 0 ? '' : `oifname != { ${quoted(facts.uplinks)} }`
  return `
table inet ${table} {
  counter to_host {}
  counter to_metadata {}
  counter to_neighbours {}
  counter from_outside {}
  counter over_limit {}
  counter not_routed {}
  counter by_rules {}
${restrictionSets(facts.restrictions)}
  set connections { type ipv4_addr; flags dynamic; size ${MAX_SANDBOXES}; }
  chain from_sandboxes {
    type filter hook prerouting priority -300; policy accept;
    iifname != "${bridge}" accept
    ip saddr != ${ownBlock} drop
    meta nfproto ipv6 drop
    ip saddr @blocked counter name by_rules drop
    fib daddr type { local, broadcast, anycast, multicast } counter name to_host drop
    ip daddr ${ownBlock} counter name to_neighbours drop
    ${dns}
    ip saddr @restricted ip saddr . ip daddr != @allowed counter name by_rules drop
    ip daddr { ${METADATA} } counter name to_metadata drop
    ${AZURE_PLATFORM} counter name to_metadata drop
    ip daddr { 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3 } drop
  }
  chain to_host_itself {
    type filter hook input priority -10; policy accept;
    iifname "${bridge}" counter name to_host drop
  }
  chain through_host {
    type filter hook forward priority -10; policy accept;
    iifname "${bridge}" jump outbound
    oifname "${bridge}" ct state established,related accept
    oifname "${bridge}" counter name from_outside drop
    ${facts.routesForAtollOnly && facts.uplinks.length > 0 ? `iifname { ${quoted(facts.uplinks)} } ct state new jump not_routed` : ''}
  }
  chain outbound {
    oifname "${BRIDGE_PREFIX}*" counter name to_neighbours drop
    ${notUplink} meta oifkind "bridge" counter name to_neighbours drop
    ct state new add @connections { ip saddr ct count over ${MAX_CONNECTIONS} } counter name over_limit drop
  }
  chain not_routed {
    ct status dnat accept
    counter name not_routed drop
  }
  chain to_outside {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${ownBlock} oifname != "${bridge}" masquerade
  }
}
`
}

/** Returns the sets whose elements change as sandboxes start and their rules change. */
function restrictionSets(restrictions: FirewallFacts['restrictions']): string {
  const types = { blocked: 'ipv4_addr', restricted: 'ipv4_addr', allowed: 'ipv4_addr . ipv4_addr; flags interval' }
  const all = [...restrictions].map(([address, restriction]) => restrictionElements(address, restriction))
  return RESTRICTION_SETS.map((name) => {
    const elements = all.flatMap((one) => one[name] ?? [])
    return `  set ${name} { type ${types[name]}; ${elements.length === 0 ? '' : `elements = { ${elements.join(', ')} };`} }`
  }).join('\n')
}

function quoted(devices: readonly string[]): string {
  return devices.map((device) => `"${device}"`).join(', ')
}
