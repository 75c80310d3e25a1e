import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { networkNames } from './address-plan.ts'
import { MAX_CONNECTIONS } from './firewall-rules.ts'
import type { Namespace, NetworkProcess, TestNetwork } from './testing/test-network.ts'
import {
  firewallCounters,
  HOST,
  METADATA,
  OUTSIDE,
  probe,
  probeAnswering,
  startTestNetwork,
} from './testing/test-network.ts'

let net: TestNetwork
let network: NetworkProcess
let one: Namespace
let other: Namespace
let outside: string
let counters: Record<string, number>

beforeAll(async () => {
  net = await startTestNetwork()
  network = await net.network('first')
  ;[one, other] = [await net.sandbox(), await net.sandbox()]
  await network.call({ name: 'attach', sandboxId: 'one', pid: one.pid })
  await network.call({ name: 'attach', sandboxId: 'other', pid: other.pid })
  outside = await net.outside.serve(OUTSIDE)
})
afterAll(() => net[Symbol.asyncDispose]())
beforeEach(async () => {
  counters = await firewallCounters(net.host)
})

describe('what a sandbox reaches', () => {
  it('is the outside, which sees the address of the host', async () => {
    expect(network.limitation).toBeUndefined()
    expect(await probeAnswering(one, outside)).toEqual(answers(outside, HOST))
  })

  it('is its own loopback, of both families', async () => {
    const itself = await one.serve('127.0.0.1')
    expect(await probeAnswering(one, itself)).toEqual(answers(itself, '127.0.0.1'))
    expect(await one.run('ip', '-6', '-brief', 'address')).toMatch(/^lo .*::1\/128 *$/m)
  })

  it('is not the host, at whichever of its addresses', async () => {
    const everywhere = (await net.host.serve('0.0.0.0')).replace('0.0.0.0', await gateway())
    expectUnreached(await probe(one, everywhere, await net.host.serve(HOST), await net.host.serve(await gateway())))
    await expectCounted('to_host')
  })

  it("is not the host's loopback, even when it is addressed as such on the wire", async () => {
    const service = await net.host.serve('127.0.0.2')
    await one.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet')
    await net.host.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet')
    await one.run('ip', 'rule', 'add', 'to', '127.0.0.2', 'lookup', '100', 'pref', '1')
    await one.run('ip', 'rule', 'add', 'lookup', 'local', 'pref', '2')
    await one.run('ip', 'rule', 'del', 'pref', '0')
    await one.run('ip', 'route', 'add', '127.0.0.2', 'via', await gateway(), 'dev', 'eth0', 'table', '100')
    expectUnreached(await probe(one, service))
    await expectCounted('to_host')
  })

  it('is not the metadata address, which the host itself reaches', async () => {
    const service = await net.outside.serve(METADATA)
    expect(await probeAnswering(net.host, service)).toEqual(answers(service, HOST))
    expectUnreached(await probe(one, service))
    await expectCounted('to_metadata')
  })

  it('is not a network of another bridge on the host', async () => {
    const container = await net.sandbox()
    await net.host.run('ip', 'link', 'add', 'docker9', 'type', 'bridge')
    await net.host.run('ip', 'address', 'add', '172.31.9.1/24', 'dev', 'docker9')
    const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', String(container.pid)] as const
    await net.host.run('ip', 'link', 'add', 'port9', 'master', 'docker9', 'up', ...peer)
    await net.host.run('ip', 'link', 'set', 'docker9', 'up')
    await container.run('ip', 'address', 'add', '172.31.9.2/24', 'dev', 'eth0')
    await container.run('ip', 'link', 'set', 'eth0', 'up')
    await container.run('ip', 'route', 'add', 'default', 'via', '172.31.9.1')
    const service = await container.serve('172.31.9.2')
    expect(await probeAnswering(net.host, service)).toEqual(answers(service, '172.31.9.1'))
    expectUnreached(await probe(one, service))
    await net.host.run('ip', 'link', 'delete', 'docker9')
    await expectCounted('to_neighbours')
  })

  it('is not a port that a container engine publishes on an address of the host', async () => {
    const [, port] = outside.split(':')
    await net.host.run(
      'nft',
      `add table ip published; add chain ip published in { type nat hook prerouting priority -100; }`,
    )
    await net.host.run('nft', `add rule ip published in ip daddr ${HOST} tcp dport 8080 dnat to ${OUTSIDE}:${port}`)
    expectUnreached(await probe(one, `${HOST}:8080`))
    await net.host.run('nft', 'delete table ip published')
    await expectCounted('to_host')
  })
})

describe('another sandbox', () => {
  it('is not reached by its address, nor by way of the gateway', async () => {
    const service = await other.serve(await addressOf(other))
    expectUnreached(await probe(one, service))
    await one.run('ip', 'route', 'add', await addressOf(other), 'via', await gateway())
    expectUnreached(await probe(one, service))
    await one.run('ip', 'route', 'del', await addressOf(other))
    await expectCounted('to_neighbours')
  })

  it('is not reached by its hardware address, even where frames on a bridge meet no packet filter', async () => {
    await net.host.run('sh', '-c', 'cd /proc/sys/net/bridge 2>/dev/null && echo 0 > bridge-nf-call-iptables || true')
    const service = await other.serve(await addressOf(other))
    const mac = await macOf(other)
    await one.run('ip', 'neigh', 'replace', await addressOf(other), 'lladdr', mac, 'dev', 'eth0')
    await other.run('ip', 'neigh', 'replace', await addressOf(one), 'lladdr', await macOf(one), 'dev', 'eth0')
    expectUnreached(await probe(one, service))
    await one.run('ip', 'neigh', 'del', await addressOf(other), 'dev', 'eth0')
  })

  it('cannot be impersonated: packets with its address go nowhere', async () => {
    await one.run('ip', 'address', 'add', `${await addressOf(other)}/32`, 'dev', 'lo')
    await one.run('ip', 'route', 'replace', 'default', 'via', await gateway(), 'src', await addressOf(other))
    expectUnreached(await probe(one, outside))
    await one.run('ip', 'route', 'replace', 'default', 'via', await gateway())
    await one.run('ip', 'address', 'del', `${await addressOf(other)}/32`, 'dev', 'lo')
    await expectCounted('spoofed')
    expect(await probeAnswering(one, outside)).toEqual(answers(outside, HOST))
  })

  it('cannot be impersonated by its hardware address, nor can the gateway', async () => {
    const own = await macOf(one)
    for (const mac of [await macOf(other), await gatewayMac()]) {
      await setMac(one, mac)
      expectUnreached(await probe(one, outside))
      expect(await probeAnswering(other, outside)).toEqual(answers(outside, HOST))
    }
    await setMac(one, own)
    await expectCounted('spoofed')
    expect(await probeAnswering(one, outside)).toEqual(answers(outside, HOST))
  })
})

describe('what reaches a sandbox', () => {
  it('is nothing from outside that it did not ask for', async () => {
    const service = await one.serve(await addressOf(one))
    await net.outside.run('ip', 'route', 'add', await addressOf(one), 'via', HOST)
    expectUnreached(await probe(net.outside, service))
    await expectCounted('from_outside')
  })

  it('is not IPv6: it has no such address beyond loopback, and such frames are dropped', async () => {
    await one.run('ip', '-6', 'address', 'add', 'fd00:9::2/64', 'dev', 'eth0', 'nodad')
    await net.host.run('ip', '-6', 'address', 'add', 'fd00:9::1/64', 'dev', networkNames('first').bridge, 'nodad')
    await one.run(
      process.execPath,
      '-e',
      `require('dgram').createSocket('udp6').send('?', 9, 'fd00:9::1', process.exit)`,
    )
    await expectCounted('spoofed')
  })
})

describe('the host', () => {
  it('does not become a router for its neighbours', async () => {
    const neighbour = await other.serve('0.0.0.0')
    await net.outside.run('ip', 'route', 'add', '203.0.113.0/24', 'via', HOST)
    expectUnreached(await probe(net.outside, `203.0.113.9:${neighbour.split(':')[1]}`))
    await expectCounted('not_routed')
  })

  it('keeps a sandbox from filling its connection table', async () => {
    const script = `
      const socket = require('dgram').createSocket('udp4')
      let left = ${MAX_CONNECTIONS + 64}
      const next = () => left-- > 0 ? socket.send('?', 1024 + left, '${OUTSIDE}', next) : process.exit()
      next()`
    await other.run(process.execPath, '-e', script)
    await expectCounted('over_limit')
    expect(await probeAnswering(one, outside)).toEqual(answers(outside, HOST))
  })
})

it('names only nameservers that a sandbox can reach', async () => {
  expect(await network.call({ name: 'resolvConf' })).toBe(`nameserver ${OUTSIDE}\n`)
})

function answers(target: string, answer: string): Record<string, string> {
  return { [`tcp ${target}`]: answer, [`udp ${target}`]: answer }
}

/** Expects no answer from any target: an answer is an address; `nothing` and an error's name are not. */
function expectUnreached(results: Record<string, string>): void {
  for (const [target, result] of Object.entries(results)) expect(result, target).toMatch(/^nothing$|^E[A-Z]+$/)
}

async function expectCounted(name: string): Promise<void> {
  // The kernel may count the last packets late.
  await expect.poll(async () => (await firewallCounters(net.host))[name]).toBeGreaterThan(counters[name] ?? 0)
}

async function addressOf(sandbox: Namespace): Promise<string> {
  return first(await sandbox.run('ip', '-4', '-oneline', 'address', 'show', 'eth0'), /inet ([\d.]+)/)
}

async function macOf(sandbox: Namespace): Promise<string> {
  return first(await sandbox.run('ip', '-oneline', 'link', 'show', 'eth0'), /ether ([\da-f:]+)/)
}

async function gateway(): Promise<string> {
  return first(await one.run('ip', 'route', 'show', 'default'), /via ([\d.]+)/)
}

async function gatewayMac(): Promise<string> {
  return first(await net.host.run('ip', '-oneline', 'link', 'show', networkNames('first').bridge), /ether ([\da-f:]+)/)
}

async function setMac(sandbox: Namespace, mac: string): Promise<void> {
  await sandbox.run('ip', 'link', 'set', 'eth0', 'address', mac)
}

function first(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1]
  if (found === undefined) throw new Error(`no ${pattern} in ${text}`)
  return found
}
