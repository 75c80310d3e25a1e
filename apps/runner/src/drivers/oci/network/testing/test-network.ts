import type { ChildProcess } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { NetworkRules } from '@atoll/protocol'
import { build } from 'esbuild'
import type { NetworkCall } from './network-daemon.ts'

const execute = promisify(execFile)

/** Addresses of the outside world, and of the host as that world sees it. */
export const OUTSIDE = '198.51.100.1'
export const HOST = '198.51.100.2'
export const METADATA = '169.254.169.254'

/** A process that holds a network namespace open; closing its stdin ends it, so it cannot outlive the test. */
export interface Namespace {
  pid: number
  /** Runs a program in the namespace and returns its stdout; throws when it fails. */
  run(...argv: [string, ...string[]]): Promise<string>
  /** Answers on `address`, TCP and UDP, with the address a caller came from; returns `address:port`. */
  serve(address: string): Promise<string>
  end(): Promise<void>
}

/** A runner's network on the test's host. */
export interface NetworkProcess {
  limitation?: string
  reachesOutside: boolean
  call(call: NetworkCall): Promise<unknown>
  kill(): Promise<void>
}

/** A host with an uplink, and an outside world behind that uplink: all in namespaces of their own. */
export interface TestNetwork {
  host: Namespace
  outside: Namespace
  /** Opens a namespace as an OCI runtime leaves it: with one loopback device, which is down. */
  sandbox(): Promise<Namespace>
  /** Starts a runner's network. `rules`: rules of the sandboxes that an earlier process left. */
  network(instanceId: string, rules?: Record<string, NetworkRules>): Promise<NetworkProcess>
  [Symbol.asyncDispose](): Promise<void>
}

/** Sets up host and outside world. */
export async function startTestNetwork(): Promise<TestNetwork> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-network-'))
  await writeFile(join(folder, 'resolv.conf'), `nameserver 127.0.0.53\nnameserver ${OUTSIDE}\n`)
  const daemon = await buildDaemon(folder)
  const ends: (() => Promise<void>)[] = [() => rm(folder, { recursive: true })]
  const open = async (prepare: string) => {
    const namespace = await openNamespace(prepare)
    ends.push(namespace.end)
    return namespace
  }
  const host = await open(
    `mount -t sysfs sysfs /sys && mount --bind ${folder}/resolv.conf /etc/resolv.conf && ip link set lo up`,
  )
  const outside = await open('ip link set lo up')
  await connectUplink(host, outside)
  return {
    host,
    outside,
    sandbox: () => open('true'),
    network: async (instanceId, rules = {}) => {
      const network = await startNetwork(host, { daemon, instanceId, rules })
      ends.push(network.kill)
      return network
    },
    [Symbol.asyncDispose]: async () => {
      for (const end of ends.reverse()) await end()
    },
  }
}

/** Connects the host's uplink to the outside world, which also answers at the metadata address. */
async function connectUplink(host: Namespace, outside: Namespace): Promise<void> {
  await host.run('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(outside.pid))
  await outside.run('ip', 'address', 'add', `${OUTSIDE}/24`, 'dev', 'eth0')
  await outside.run('ip', 'address', 'add', `${METADATA}/32`, 'dev', 'lo')
  await outside.run('ip', 'link', 'set', 'eth0', 'up')
  await host.run('ip', 'address', 'add', `${HOST}/24`, 'dev', 'up0')
  await host.run('ip', 'link', 'set', 'up0', 'up')
  await host.run('ip', 'route', 'add', 'default', 'via', OUTSIDE)
  await host.run('sh', '-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward')
}

/** Starts a process in a network and a mount namespace of its own, after a line of `sh` that prepares them. */
export async function openNamespace(prepare: string): Promise<Namespace> {
  const script = `${prepare} && echo ready && exec cat`
  const child = spawn('unshare', ['--net', '--mount', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await firstOutput(child)
  const pid = Number(child.pid)
  const children: ChildProcess[] = [child]
  return {
    pid,
    run: async (...argv) => (await execute('nsenter', ['-t', String(pid), '-n', '-m', ...argv])).stdout,
    serve: async (address) => {
      const argv = ['-t', String(pid), '-n', process.execPath, '-e', SERVER, address]
      const server = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] })
      children.push(server)
      return `${address}:${await firstOutput(server)}`
    },
    end: async () => {
      await Promise.all(children.map(endChild))
    },
  }
}

async function startNetwork(
  host: Namespace,
  { daemon, instanceId, rules }: { daemon: string; instanceId: string; rules: Record<string, NetworkRules> },
): Promise<NetworkProcess> {
  const argv = ['-t', String(host.pid), '-n', '-m', process.execPath, daemon, instanceId, JSON.stringify(rules)]
  const child = spawn('/usr/bin/nsenter', argv, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  // Each awaited reply also listens for the process's end.
  child.setMaxListeners(0)
  const { value } = await reply(child)
  return {
    ...(value as Pick<NetworkProcess, 'limitation' | 'reachesOutside'>),
    call: async (call) => {
      child.send(call)
      return (await reply(child)).value
    },
    kill: () => endChild(child),
  }
}

async function reply(child: ChildProcess): Promise<{ value?: unknown }> {
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => [{ error: 'the network process ended' }]),
  ])) as [{ value?: unknown; error?: string }]
  if (message.error !== undefined) throw new Error(message.error)
  return message
}

async function firstOutput(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error('no stdout')
  const [piece] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => {
      throw new Error('a process of the test network ended early')
    }),
  ])) as [Buffer]
  return piece.toString().trim()
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

async function buildDaemon(folder: string): Promise<string> {
  const outfile = join(folder, 'network-daemon.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, 'network-daemon.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
  return outfile
}

const SERVER = `
  const tcp = require('net').createServer((socket) => { socket.on('error', () => {}); socket.end(socket.remoteAddress) })
  tcp.listen(0, process.argv[1], () => {
    const udp = require('dgram').createSocket('udp4')
    udp.on('message', (_, from) => udp.send(from.address, from.port, from.address))
    udp.bind(tcp.address().port, process.argv[1], () => console.log(tcp.address().port))
  })`

/** A target that is silent for this long counts as unreached, in milliseconds. */
const SILENCE_MS = 600
const ASK_AGAIN_MS = 200
/** How long targets that answer may take, in milliseconds: a busy machine may need long. */
const ANSWER_DEADLINE_MS = 60_000

/** Tries TCP and UDP to all targets at once; returns for each the answer, `nothing`, or the error's name. */
export function probe(namespace: Namespace, ...targets: string[]): Promise<Record<string, string>> {
  return runProbe(namespace, targets, SILENCE_MS)
}

/** Does the same as `probe` for targets that are expected to answer; returns as soon as all have. */
export function probeAnswering(namespace: Namespace, ...targets: string[]): Promise<Record<string, string>> {
  return runProbe(namespace, targets, ANSWER_DEADLINE_MS)
}

async function runProbe(namespace: Namespace, targets: string[], waitMs: number): Promise<Record<string, string>> {
  const script = `
    const [waitMs, ...targets] = process.argv.slice(1)
    const results = {}
    for (const target of targets) {
      const [host, port] = target.split(':')
      const tcp = require('net').connect(Number(port), host)
      results['tcp ' + target] = results['udp ' + target] = 'nothing'
      tcp.on('data', (data) => { results['tcp ' + target] = String(data) })
      tcp.on('error', (error) => { results['tcp ' + target] = error.code })
      const udp = require('dgram').createSocket('udp4')
      udp.on('message', (data) => { results['udp ' + target] = String(data); done() })
      udp.on('error', (error) => { results['udp ' + target] = error.code })
      const ask = () => {
        if (results['udp ' + target] !== 'nothing') return
        udp.send('?', Number(port), host, (error) => { if (error) results['udp ' + target] = error.code })
      }
      ask()
      // A datagram is sent once: a port of a bridge that has just come up may lose it.
      setInterval(ask, ${ASK_AGAIN_MS})
      tcp.on('close', done)
    }
    function done() { if (!Object.values(results).includes('nothing')) finish() }
    function finish() { console.log(JSON.stringify(results)); process.exit() }
    // What came while this process was kept from running is seen first.
    setTimeout(() => setImmediate(finish), Number(waitMs))`
  const output = await namespace.run(process.execPath, '-e', script, String(waitMs), ...targets)
  return JSON.parse(output) as Record<string, string>
}

/** Returns the packets counted by each named counter of a runner's tables. */
export async function firewallCounters(host: Namespace): Promise<Record<string, number>> {
  const listing = JSON.parse(await host.run('nft', '-j', 'list', 'counters')) as {
    nftables: { counter?: { name: string; packets: number } }[]
  }
  return Object.fromEntries(
    listing.nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
  )
}
