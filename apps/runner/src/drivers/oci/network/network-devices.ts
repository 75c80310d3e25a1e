import { access, readdir, readFile } from 'node:fs/promises'

const DEVICES = '/sys/class/net'

/** Returns the names of the host's network devices. */
export function listDevices(): Promise<string[]> {
  return readdir(DEVICES)
}

/** Returns the content of a file of a network device in /sys; undefined when the device or the file is not there. */
export async function readDeviceFile(device: string, name: string): Promise<string | undefined> {
  try {
    return (await readFile(`${DEVICES}/${device}/${name}`, 'utf8')).trim()
  } catch {
    // Devices come and go while they are listed; a device that is gone has no files.
    return undefined
  }
}

/** Returns true while the device is there. */
export async function deviceExists(device: string): Promise<boolean> {
  return (await readDeviceFile(device, 'ifindex')) !== undefined
}

/** Returns the `ip` batch line that keeps a device from giving itself an IPv6 address; none where the kernel has no IPv6. */
export async function withoutIpv6(device: string): Promise<string> {
  try {
    await access('/proc/sys/net/ipv6')
    return `link set dev ${device} addrgenmode none\n`
  } catch {
    // A kernel without IPv6 gives devices no such address and has no such setting.
    return ''
  }
}
