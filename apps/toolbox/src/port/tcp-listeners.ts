import { readdir, readFile, readlink } from 'node:fs/promises'
import type { PortListener } from '@atoll/protocol'

const LISTENING = '0A'
/** The most listeners reported; the next number is the longest command line shown, in characters. */
const MAX_LISTENERS = 1024
const MAX_COMMAND_LENGTH = 1024

interface Socket {
  address: string
  port: number
  inode: string
}

/** Returns every TCP port of this network namespace with a listener, sorted by port, with the process behind it. */
export async function readTcpListeners(): Promise<PortListener[]> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readTable))
  const sockets = tables.flat().slice(0, MAX_LISTENERS)
  const owners = await findOwners(new Set(sockets.map(({ inode }) => inode)))
  const listeners = await Promise.all(
    sockets.map(async ({ address, port, inode }): Promise<PortListener> => {
      const pid = owners.get(inode)
      return pid === undefined ? { port, address } : { port, address, pid, command: await readCommand(pid) }
    }),
  )
  return listeners.sort((a, b) => a.port - b.port || a.address.localeCompare(b.address))
}

/** Reads the listeners of one table; a kernel without IPv6 has no second table. */
async function readTable(path: string): Promise<Socket[]> {
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n').slice(1)
  return lines.flatMap((line) => {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
    const [address = '', port = ''] = local.split(':')
    return state === LISTENING ? [{ address: parseAddress(address), port: Number.parseInt(port, 16), inode }] : []
  })
}

/** Parses an address. The kernel prints each four bytes as one number of this machine's byte order, which is little endian. */
function parseAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? []
  const bytes = words.flatMap((word) => [...Buffer.from(word, 'hex').reverse()])
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  )
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

/** Returns socket inode → process, for the processes whose descriptors this user may read. */
async function findOwners(wanted: ReadonlySet<string>): Promise<Map<string, number>> {
  const owners = new Map<string, number>()
  if (wanted.size === 0) return owners
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    // Processes may end meanwhile, and some are another user's.
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode !== undefined && wanted.has(inode) && !owners.has(inode)) owners.set(inode, Number(pid))
    }
    if (owners.size === wanted.size) break
  }
  return owners
}

async function readCommand(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text.replaceAll('\0', ' ').trim().slice(0, MAX_COMMAND_LENGTH)
}
