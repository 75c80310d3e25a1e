import { readFile, writeFile } from 'node:fs/promises'
import { runCommand } from '../../../run-command.ts'
import { BRIDGE_PREFIX } from './address-plan.ts'
import { listDevices, readDeviceFile } from './network-devices.ts'

const IP_FORWARD = '/proc/sys/net/ipv4/ip_forward'
/** Alias that the runner that turned forwarding on gives its bridge: it outlives that process. */
const MARK = 'atoll turned ip_forward on'

/**
 * Turns IPv4 forwarding on where it is off, and marks our bridge as the one that needed it. Returns true when this or
 * another runner of Atoll has turned it on.
 */
export async function turnForwardingOn(bridge: string): Promise<boolean> {
  if ((await readFile(IP_FORWARD, 'utf8')).trim() === '0') {
    await runCommand(['ip', 'link', 'set', 'dev', bridge, 'alias', MARK])
    await writeFile(IP_FORWARD, '1')
    return true
  }
  for (const other of await bridges()) if (await isMarked(other)) return true
  return false
}

/**
 * Turns forwarding off again if our bridge has the mark and is the only bridge of the host. Another Atoll bridge takes the
 * mark over; any other bridge (a container engine's, for example) means that forwarding is needed. Called before our bridge
 * is removed.
 */
export async function giveForwardingBack(bridge: string): Promise<void> {
  if (!(await isMarked(bridge))) return
  if (await leaveForwardingTo(await bridgesBut(bridge))) return
  await writeFile(IP_FORWARD, '0')
  // The owner of a bridge that was made meanwhile may have seen forwarding still on, and rely on it.
  const late = await bridgesBut(bridge)
  if (late.length === 0) return
  await writeFile(IP_FORWARD, '1')
  await leaveForwardingTo(late)
}

/** Marks an Atoll bridge among `others`; returns false when there are no others, so that no bridge needs forwarding. */
async function leaveForwardingTo(others: readonly string[]): Promise<boolean> {
  const heir = others.find((other) => other.startsWith(BRIDGE_PREFIX))
  if (heir) await runCommand(['ip', 'link', 'set', 'dev', heir, 'alias', MARK])
  return others.length > 0
}

async function bridgesBut(bridge: string): Promise<string[]> {
  return (await bridges()).filter((other) => other !== bridge)
}

async function isMarked(bridge: string): Promise<boolean> {
  return (await readDeviceFile(bridge, 'ifalias')) === MARK
}

async function bridges(): Promise<string[]> {
  const devices = await listDevices()
  const ids = await Promise.all(devices.map((device) => readDeviceFile(device, 'bridge/bridge_id')))
  return devices.filter((_, index) => ids[index] !== undefined)
}
