import { CommandError, runCommand } from '../../../run-command.ts'
import type { AddressPlan, SandboxAddress } from './address-plan.ts'
import { MAX_SANDBOXES, SUBNET_PREFIX, sandboxAddress } from './address-plan.ts'
import type { NetworkConnection } from './connect-network.ts'
import { deviceExists, listDevices, readDeviceFile, withoutIpv6 } from './network-devices.ts'

/** Ids that fit into a device's alias, which holds 255 bytes, and into a line of a batch. */
const SANDBOX_ID = /^[\w.-]{1,128}$/

/** The bridge's ports, one for each running sandbox. */
export interface Ports {
  /** Takes a port for a sandbox, whose end of it will be `eth0`. Throws when no port is left, or CommandError. */
  take(sandboxId: string): Promise<NetworkConnection>
  /** Removes the ports of these sandboxes; ignores unknown ids. */
  leave(sandboxIds: readonly string[]): Promise<void>
  /** Returns the ids of the sandboxes that have a port. */
  sandboxIds(): string[]
  /** Returns the address of a sandbox; undefined when it has no port. */
  addressOf(sandboxId: string): string | undefined
}

/**
 * Finds the existing ports. A port's alias names its sandbox, so the kernel itself keeps the allocation and drops it with
 * the namespace. Removes ports without an alias: they were being made when a run was killed.
 */
export async function createPorts(plan: AddressPlan, mtu: number): Promise<Ports> {
  const { held, nameless } = await findPorts(plan)
  await removeDevices(nameless)
  const numbers = new NumberPool(held.values())
  const leave = async (sandboxIds: readonly string[]) => {
    const leaving = sandboxIds.flatMap((sandboxId) => {
      const number = held.get(sandboxId)
      return number === undefined ? [] : [{ sandboxId, number }]
    })
    await removeDevices(leaving.map(({ number }) => sandboxAddress(plan, number).port))
    for (const { sandboxId, number } of leaving) {
      held.delete(sandboxId)
      numbers.free(number)
    }
  }
  const take = async (sandboxId: string) => {
    if (!SANDBOX_ID.test(sandboxId)) throw new Error('a sandbox id has a character that a network device cannot bear')
    await leave([sandboxId])
    const number = numbers.take()
    held.set(sandboxId, number)
    return await connectionOf(plan, { ...sandboxAddress(plan, number), sandboxId, mtu })
  }
  const addressOf = (sandboxId: string) => {
    const number = held.get(sandboxId)
    return number === undefined ? undefined : sandboxAddress(plan, number).address
  }
  return { take, leave, sandboxIds: () => [...held.keys()], addressOf }
}

/** Returns the batches that make a pair of devices, from inside: there the runner's namespace can be named by this process. */
async function connectionOf(
  { names: { bridge }, gateway }: AddressPlan,
  end: SandboxAddress & { sandboxId: string; mtu: number },
): Promise<NetworkConnection> {
  const { port, mtu } = end
  return {
    inside: `link set dev lo up
link add name eth0 mtu ${mtu} address ${end.mac} type veth peer name ${port} mtu ${mtu} netns ${process.pid}
${await withoutIpv6('eth0')}address add ${end.address}/${SUBNET_PREFIX} dev eth0
link set dev eth0 up
route add default via ${gateway}
`,
    outside: `link set dev ${port} alias ${end.sandboxId}
${await withoutIpv6(port)}link set dev ${port} master ${bridge}
link set dev ${port} type bridge_slave isolated on flood off mcast_flood off
link set dev ${port} up
`,
  }
}

/** Returns the number of each sandbox that has a port now, and the ports without a sandbox. */
export async function findPorts(plan: AddressPlan): Promise<{ held: Map<string, number>; nameless: string[] }> {
  const held = new Map<string, number>()
  const nameless: string[] = []
  for (const device of await listDevices()) {
    if (!device.startsWith(plan.names.portPrefix)) continue
    const sandboxId = await readDeviceFile(device, 'ifalias')
    if (sandboxId) held.set(sandboxId, Number(device.slice(plan.names.portPrefix.length)))
    else nameless.push(device)
  }
  return { held, nameless }
}

/** Removes devices. The kernel may be removing some of them itself, because their namespace has ended. */
async function removeDevices(devices: readonly string[]): Promise<void> {
  const present = await presentAmong(devices)
  if (present.length === 0) return
  try {
    await runCommand(['ip', '-force', '-batch', '-'], {
      input: present.map((device) => `link delete dev ${device}\n`).join(''),
    })
  } catch (error) {
    if (!(error instanceof CommandError) || (await presentAmong(present)).length > 0) throw error
  }
}

async function presentAmong(devices: readonly string[]): Promise<string[]> {
  const present = await Promise.all(devices.map(deviceExists))
  return devices.filter((_, index) => present[index])
}

/** Gives out numbers in a circle, so that a number that was just freed is used again last. */
class NumberPool {
  readonly #taken: Set<number>
  #next = 0

  constructor(taken: Iterable<number>) {
    this.#taken = new Set(taken)
  }

  /** Takes a free number. Throws when all are taken. */
  take(): number {
    for (let step = 0; step < MAX_SANDBOXES; step += 1) {
      const number = (this.#next + step) % MAX_SANDBOXES
      if (this.#taken.has(number)) continue
      this.#taken.add(number)
      this.#next = number + 1
      return number
    }
    throw new Error(`all ${MAX_SANDBOXES} sandbox addresses of this runner are taken`)
  }

  free(number: number): void {
    this.#taken.delete(number)
  }
}
