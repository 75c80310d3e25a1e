import { access, readdir, readFile } from 'node:fs/promises'

const DEVICES = '/sys/class/net'

/** Names of the host's network devices. */
export function listDevices(): Promise<string[]> {
  return readdir(DEVICES)
}

/** A file the kernel keeps about a network device; undefined when the device or the file is not there. */
export async function readDeviceFile(device: string, name: string): Promise<string | undefined> {
  try {
    return (await readFile(`${DEVICES}/${device}/${name}`, 'utf8')).trim()
  } catch {
    // Devices come and go while they are listed; one that is gone has nothing to say.
    return undefined
  }
}

/** True while the device is there. */
export async function deviceExists(device: string): Promise<boolean> {
  return (await readDeviceFile(device, 'ifindex')) !== undefined
}

/** The line of an `ip` batch that keeps a device from giving itself an IPv6 address; none where IPv6 is compiled out or off. */
export async function withoutIpv6(device: string): Promise<string> {
  try {
    await access('/proc/sys/net/ipv6')
    return `link set dev ${device} addrgenmode none\n`
  } catch {
    // A kernel without IPv6 gives no such address and knows no such setting.
    return ''
  }
}
