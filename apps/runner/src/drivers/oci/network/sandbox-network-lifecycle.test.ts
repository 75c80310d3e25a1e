import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommand } from '../../../run-command.ts'
import { networkNames } from './address-plan.ts'
import type { Namespace, TestNetwork } from './testing/test-network.ts'
import { HOST, OUTSIDE, probe, probeAnswering, startTestNetwork } from './testing/test-network.ts'

let net: TestNetwork
let untouched: string

beforeEach(async () => {
  net = await startTestNetwork()
  untouched = await hostState()
})
afterEach(() => net[Symbol.asyncDispose]())

it('a network that is disposed of leaves nothing on the host', async () => {
  const network = await net.network('first')
  const sandbox = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: sandbox.pid })
  expect(await hostState()).not.toBe(untouched)
  await network.call({ name: 'dispose' })
  expect(await hostState()).toBe(untouched)
})

it('a sandbox that ends takes its port along, and comes back with the same id', async () => {
  const network = await net.network('first')
  const before = await devices()
  const first = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: first.pid })
  await first.end()
  await network.call({ name: 'release', sandboxId: 'one' })
  expect(await devices()).toEqual(before)
  const second = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: second.pid })
  await expectOutside(second)
})

it('a killed runner finds its sandboxes again, which stayed connected and confined', async () => {
  const network = await net.network('first')
  const [kept, lost, late] = [await net.sandbox(), await net.sandbox(), await net.sandbox()]
  await network.call({ name: 'attach', sandboxId: 'kept', pid: kept.pid })
  await network.call({ name: 'attach', sandboxId: 'lost', pid: lost.pid })
  const address = await addressOf(kept)
  await network.kill()
  await expectOutside(kept)
  const again = await net.network('first')
  expect(again.limitation).toBeUndefined()
  await again.call({ name: 'reconcile', sandboxIds: ['kept'] })
  expect((await devices()).filter((device) => device.startsWith(networkNames('first').portPrefix))).toHaveLength(1)
  await again.call({ name: 'attach', sandboxId: 'late', pid: late.pid })
  expect(await addressOf(kept)).toBe(address)
  expect(await addressOf(late)).not.toBe(address)
  await expectOutside(kept)
  await expectOutside(late)
  await again.call({ name: 'dispose' })
  expect(await hostState()).toBe(untouched)
})

it('a runner killed with everything leaves nothing once it has been up and down again', async () => {
  const network = await net.network('first')
  const sandbox = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: sandbox.pid })
  await Promise.all([network.kill(), sandbox.end()])
  const again = await net.network('first')
  await again.call({ name: 'reconcile', sandboxIds: [] })
  await again.call({ name: 'dispose' })
  expect(await hostState()).toBe(untouched)
})

it('two runners on a host have subnets of their own, cannot be crossed, and the last turns forwarding off', async () => {
  const [first, second] = await Promise.all([net.network('first'), net.network('second')])
  const [one, two] = [await net.sandbox(), await net.sandbox()]
  await first.call({ name: 'attach', sandboxId: 'same', pid: one.pid })
  await second.call({ name: 'attach', sandboxId: 'same', pid: two.pid })
  const service = await two.serve(await addressOf(two))
  expect(Object.values(await probe(one, service))).toEqual(['nothing', 'nothing'])
  await expectOutside(one)
  await first.call({ name: 'dispose' })
  await expectOutside(two)
  await second.call({ name: 'dispose' })
  expect(await hostState()).toBe(untouched)
})

it('forwarding is on for a runner that comes while another goes', { timeout: 120_000 }, async () => {
  let current = await net.network('first')
  for (let round = 0; round < 10; round++) {
    const [next] = await Promise.all([net.network(round % 2 ? 'first' : 'second'), current.call({ name: 'dispose' })])
    expect(await net.host.run('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n')
    current = next
  }
  await current.call({ name: 'dispose' })
  expect(await hostState()).toBe(untouched)
})

it('forwarding that was on before stays on', async () => {
  await net.host.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
  const network = await net.network('first')
  await network.call({ name: 'dispose' })
  expect(await net.host.run('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n')
})

it('forwarding stays on for a bridge that came meanwhile', async () => {
  const network = await net.network('first')
  await net.host.run('ip', 'link', 'add', 'docker9', 'type', 'bridge')
  await network.call({ name: 'dispose' })
  expect(await net.host.run('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n')
})

it('the subnet avoids what the host has a route to', async () => {
  for (const block of ['10.0.0.0/8', '172.24.0.0/14', '192.168.128.0/18']) {
    await net.host.run('ip', 'route', 'add', 'unreachable', block)
  }
  const network = await net.network('first')
  const sandbox = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: sandbox.pid })
  expect(await addressOf(sandbox)).toMatch(/^192\.168\.(19[2-9]|2\d\d)\./)
})

it('a host without a free subnet says so', async () => {
  for (const block of ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16']) {
    await net.host.run('ip', 'route', 'add', 'unreachable', block)
  }
  expect((await net.network('first')).limitation).toContain('overlaps a route')
})

it('joining a process that is gone fails and leaves no port', async () => {
  const network = await net.network('first')
  const before = await devices()
  const sandbox = await net.sandbox()
  await sandbox.end()
  await expect(network.call({ name: 'attach', sandboxId: 'one', pid: sandbox.pid })).rejects.toThrow(
    'No such file or directory',
  )
  expect(await devices()).toEqual(before)
})

it('a firewall that drops what is forwarded lets sandboxes out while the network is up', async ({ skip }) => {
  const iptables = (...rule: string[]) => net.host.run('iptables', '-w', ...rule)
  skip(!(await isInstalled('iptables')), 'this host has no iptables to set up such a firewall with')
  await iptables('-N', 'DOCKER-USER')
  await iptables('-A', 'FORWARD', '-j', 'DOCKER-USER')
  await iptables('-P', 'FORWARD', 'DROP')
  const before = await iptables('-S')
  const killed = await net.network('first')
  await killed.kill()
  const network = await net.network('first')
  const sandbox = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: sandbox.pid })
  await expectOutside(sandbox)
  await network.call({ name: 'dispose' })
  expect(await iptables('-S')).toBe(before)
})

it('a host without nftables gives sandboxes their loopback and says why', async () => {
  const nft = (await net.host.run('sh', '-c', 'command -v nft')).trim()
  await net.host.run('mount', '--bind', '/dev/null', nft)
  const network = await net.network('first')
  expect(network.reachesOutside).toBe(false)
  expect(network.limitation).toMatch(/^sandboxes have no network: nft could not be started/)
  const sandbox = await net.sandbox()
  await network.call({ name: 'attach', sandboxId: 'one', pid: sandbox.pid })
  expect(await sandbox.run('ip', '-brief', 'address')).toMatch(/^lo +UNKNOWN.*\n$/)
  await net.host.run('umount', nft)
  expect(await hostState()).toBe(untouched)
})

/** Returns the devices, addresses, rules and the forwarding switch of the test's host. */
async function hostState(): Promise<string> {
  return net.host.run(
    'sh',
    '-c',
    'ip -4 -oneline address; ls /sys/class/net; ip route; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward',
  )
}

async function devices(): Promise<string[]> {
  const links = JSON.parse(await net.host.run('ip', '-json', 'link')) as { ifname: string }[]
  return links.map(({ ifname }) => ifname)
}

async function expectOutside(sandbox: Namespace): Promise<void> {
  const service = await net.outside.serve(OUTSIDE)
  expect(Object.values(await probeAnswering(sandbox, service))).toEqual([HOST, HOST])
}

async function addressOf(sandbox: Namespace): Promise<string> {
  return /inet ([\d.]+)/.exec(await sandbox.run('ip', '-4', '-oneline', 'address', 'show', 'eth0'))?.[1] ?? ''
}

async function isInstalled(program: string): Promise<boolean> {
  return runCommand(['sh', '-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  )
}
