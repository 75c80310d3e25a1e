import type { NetworkRules } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { CommandError, runCommand } from '../../../run-command.ts'
import type { AddressPlan } from './address-plan.ts'
import { networkNames } from './address-plan.ts'
import { openBridge } from './bridge.ts'
import type { NetworkConnection } from './connect-network.ts'
import { removeFirewallRules } from './firewall-rules.ts'
import { closeForeignFirewall } from './foreign-firewall.ts'
import { giveForwardingBack } from './ip-forwarding.ts'
import { listDevices } from './network-devices.ts'
import { createPorts } from './ports.ts'
import type { Restriction } from './restrictions.ts'
import { createRestrictions, restrictionOf } from './restrictions.ts'

const NO_NAMESERVER = 'names do not resolve in sandboxes: the host has no nameserver they could reach'

export interface SandboxNetworkOptions {
  /** Tells this runner from others on the host; stays the same when it restarts. */
  instanceId: string
  /** Returns the rules of a sandbox that a killed run left running; absent: no sandbox has rules. */
  rulesOf?: (sandboxId: string) => NetworkRules | undefined
  log: Logger
}

/** Gives each sandbox a network of its own, with access through NAT to the outside and to nothing else. */
export interface SandboxNetwork {
  /** The part of the network that does not work on this host, in one sentence; undefined when all works. */
  readonly limitation: string | undefined
  /** False when sandboxes get a loopback device and nothing else. */
  readonly reachesOutside: boolean
  /**
   * Takes a port and address for a sandbox, until `release`, and returns the batches that connect its network namespace,
   * which holds only a loopback device that is down. The devices end with the namespace. Throws when all addresses are
   * taken, or CommandError.
   */
  attach(sandboxId: string): Promise<NetworkConnection>
  /**
   * Applies these rules to all further packets of a sandbox; without rules none is blocked. Does nothing for a sandbox
   * without a port. Throws BAD_REQUEST, or CommandError.
   */
  restrict(sandboxId: string, rules: NetworkRules | undefined): Promise<void>
  /** Returns the content of a sandbox's /etc/resolv.conf. */
  resolvConf(): string
  /** Frees the sandbox's port and address; ignores an unknown id. */
  release(sandboxId: string): Promise<void>
  /** Keeps the addresses of these sandboxes and frees all others; called after a restart of the runner. */
  reconcile(liveSandboxIds: readonly string[]): Promise<void>
  /** Removes bridge, ports and firewall rules, and undoes the changes to the host. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Makes this runner's bridge and firewall tables, or takes over those that a killed run left. Where that is impossible
 * (no nftables, no permission, no free subnet), `limitation` says why and sandboxes get loopback alone.
 */
export async function createSandboxNetwork(options: SandboxNetworkOptions): Promise<SandboxNetwork> {
  const { instanceId, rulesOf, log } = options
  const names = networkNames(instanceId)
  try {
    const bridge = await openBridge(names, (sandboxId) => restrictionOf(rulesOf?.(sandboxId)))
    const { plan, mtu, nameservers } = bridge
    log.info({ bridge: names.bridge, gateway: plan.gateway, mtu, nameservers }, 'sandbox network is up')
    return bridgedNetwork({ ...bridge, log })
  } catch (error) {
    await removeNetwork(names, log)
    const reason = error instanceof Error ? error.message : String(error)
    log.warn({ err: error }, 'sandboxes have no network')
    return loopbackNetwork(`sandboxes have no network: ${reason}`)
  }
}

async function bridgedNetwork(options: {
  plan: AddressPlan
  mtu: number
  nameservers: readonly string[]
  restrictions: ReadonlyMap<string, Restriction>
  log: Logger
}): Promise<SandboxNetwork> {
  const { plan, nameservers, log } = options
  const ports = await createPorts(plan, options.mtu)
  const restrictions = createRestrictions(plan.names.table, options.restrictions)
  const restrict = async (sandboxId: string, restriction: Restriction) => {
    const address = ports.addressOf(sandboxId)
    if (address !== undefined) await restrictions.set(address, restriction)
  }
  /** Lifts the restrictions of the sandboxes before it frees their addresses, so that no next sandbox gets them. */
  const leave = async (sandboxIds: readonly string[]) => {
    for (const sandboxId of sandboxIds) await restrict(sandboxId, undefined)
    await ports.leave(sandboxIds)
  }
  return {
    reachesOutside: true,
    limitation: nameservers.length > 0 ? undefined : NO_NAMESERVER,
    attach: async (sandboxId) => {
      await leave([sandboxId])
      return await ports.take(sandboxId)
    },
    restrict: async (sandboxId, rules) => restrict(sandboxId, restrictionOf(rules)),
    resolvConf: () => nameservers.map((server) => `nameserver ${server}\n`).join(''),
    release: (sandboxId) => leave([sandboxId]),
    reconcile: (liveSandboxIds) => leave(ports.sandboxIds().filter((sandboxId) => !liveSandboxIds.includes(sandboxId))),
    [Symbol.asyncDispose]: async () => {
      await ports.leave(ports.sandboxIds())
      await removeNetwork(plan.names, log)
    },
  }
}

function loopbackNetwork(limitation: string): SandboxNetwork {
  return {
    limitation,
    reachesOutside: false,
    attach: async () => ({ inside: 'link set dev lo up\n', outside: '' }),
    restrict: async () => undefined,
    resolvConf: () => '',
    release: async () => undefined,
    reconcile: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}

/** Removes everything that carries this runner's names. Steps do not depend on one another; a failed step is logged. */
async function removeNetwork(names: AddressPlan['names'], log: Logger): Promise<void> {
  const devices = (await listDevices()).filter(
    (device) => device.startsWith(names.portPrefix) || device === names.bridge,
  )
  const steps: (() => Promise<unknown>)[] = [
    () => giveForwardingBack(names.bridge),
    () =>
      runCommand(['ip', '-force', '-batch', '-'], {
        input: devices.map((device) => `link delete dev ${device}\n`).join(''),
      }),
    () => runCommand(['nft', '-f', '-'], { input: removeFirewallRules({ names }) }),
    () => closeForeignFirewall(names.bridge),
  ]
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      log.debug({ err: error }, 'a part of the sandbox network was not there to remove')
    }
  }
}
