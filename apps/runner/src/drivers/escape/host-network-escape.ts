import { execFile } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Namespace } from '../oci/network/testing/test-network.ts'
import { openNamespace } from '../oci/network/testing/test-network.ts'
import type { EscapeScene, GetHarness } from './escape-scene.ts'
import { ATTACKERS, perl, useEscapeScene } from './escape-scene.ts'

const execute = promisify(execFile)

/** An address that takes no connection within this many seconds counts as out of reach. */
const SILENCE_S = 1
/** Patience for addresses that are expected to connect, in seconds: less than a call of a sandbox may take. */
export const ANSWER_DEADLINE_S = 30

/** Tests that a sandbox reaches no service of its host, with a network or without. */
export function describeHostNetworkEscape(getHarness: GetHarness): void {
  describe.each(['nat', 'none'] as const)('host services, from a sandbox with network %s', (network) => {
    const scene = useEscapeScene(getHarness, network)
    describeHostSockets(scene)
    describeClouds(scene, network)

    it.each(ATTACKERS)('there are no network devices but its own, as %s', async (attacker) => {
      const { stdout } = await scene().attack(attacker, 'ls /sys/class/net; cut -d: -f1 -s /proc/net/dev')
      expect([...new Set(stdout.split(/\s+/))].sort()).toEqual(expect.arrayContaining(['', 'lo']))
      expect(stdout.replaceAll(/\b(lo|eth0)\b/g, '').trim()).toBe('')
    })
  })
}

function describeHostSockets(scene: () => EscapeScene): void {
  let connections = 0
  const servers = ['tcp', 'abstract', 'file'].map(() =>
    createServer((socket) => {
      connections += 1
      socket.destroy()
    }),
  )
  let port = 0
  let path: string
  beforeAll(async () => {
    const [tcp, abstract, file] = servers
    path = join(tmpdir(), scene().secretName.replace('secret', 'socket'))
    tcp?.listen(0, '::')
    abstract?.listen(`\0${scene().secretName}`)
    file?.listen({ path, writableAll: true, readableAll: true })
    await Promise.all(servers.map((server) => once(server, 'listening')))
    const address = tcp?.address()
    port = typeof address === 'object' && address ? address.port : 0
  })
  afterAll(async () => {
    for (const server of servers) server.close()
    await rm(path, { force: true })
  })

  it.each(ATTACKERS)('no port of the host answers at any of its addresses, as %s', async (attacker) => {
    const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
    const { stdout: route } = await scene().attack(attacker, 'cat /proc/net/route')
    const targets = ['127.0.0.1', '0.0.0.0', '::1', '::', ...own.map(({ address }) => address), ...gatewaysIn(route)]
    const before = connections
    await scene().attack(attacker, connectAll(targets.map((target) => `${target}/${port}`)))
    expect(connections).toBe(before)
    await execute('bash', ['-c', connectAll([`127.0.0.1/${port}`], ANSWER_DEADLINE_S)])
    expect(connections).toBe(before + 1)
  })

  it.each(ATTACKERS)("an abstract unix socket of the host's is not there, as %s", async (attacker) => {
    const connect = perl(`use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0);
      print connect($s, pack("Sa108", AF_UNIX, "\\0${scene().secretName}")) ? "reached" : "refused"`)
    const before = connections
    const { stdout } = await scene().attack(attacker, `${connect}; cat /proc/net/unix`)
    expect(stdout).toMatch(/^refused/)
    expect(stdout).not.toContain(scene().secretName)
    expect(connections).toBe(before)
    expect((await execute('sh', ['-c', connect])).stdout).toBe('reached')
  })

  it.each(ATTACKERS)("no unix socket of the host's is there but the way home, as %s", async (attacker) => {
    const { stdout } = await scene().attack(
      attacker,
      `find / -type s 2>/dev/null; ls ${path} /run/docker.sock /run/dbus 2>/dev/null`,
    )
    expect(stdout).toBe('/run/atoll/dial-home.sock\n')
  })
}

/** Tests with a network beside the host, which has an address like those where clouds give machines credentials. */
function describeClouds(scene: () => EscapeScene, network: 'nat' | 'none'): void {
  let cloud: Namespace
  let ordinary: string
  let linkLocal: string
  beforeAll(async () => {
    const [low, high] = [randomInt(256), randomInt(1, 63) * 4]
    ;[ordinary, linkLocal] = [`198.19.${low}.${high + 2}`, `169.254.${low}.${high + 2}`]
    const device = `cl${randomInt(2 ** 31).toString(36)}`
    cloud = await openNamespace('ip link set lo up')
    const peer = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', String(cloud.pid)]
    await execute('ip', ['link', 'add', 'name', device, ...peer])
    await execute('ip', ['address', 'add', `198.19.${low}.${high + 1}/30`, 'dev', device])
    await execute('ip', ['link', 'set', 'dev', device, 'up'])
    await cloud.run('ip', 'address', 'add', `${ordinary}/30`, 'dev', 'eth0')
    await cloud.run('ip', 'address', 'add', `${linkLocal}/32`, 'dev', 'lo')
    await cloud.run('ip', 'link', 'set', 'eth0', 'up')
    await cloud.run('ip', 'route', 'add', 'default', 'via', `198.19.${low}.${high + 1}`)
    await execute('ip', ['route', 'add', `${linkLocal}/32`, 'via', ordinary])
    ;[ordinary, linkLocal] = [await cloud.serve(ordinary), await cloud.serve(linkLocal)]
  })
  afterAll(() => cloud.end())

  it.each(ATTACKERS)(
    'an address of the kind that holds credentials of clouds does not answer, as %s',
    async (attacker) => {
      const [path, other] = [linkLocal.replace(':', '/'), ordinary.replace(':', '/')]
      expect((await scene().attack(attacker, connectAll([path]))).stdout).toBe('')
      expect((await execute('bash', ['-c', connectAll([path], ANSWER_DEADLINE_S)])).stdout).toBe(`${path}\n`)
      const isOut = network === 'nat' && scene().harness.driver.info.limitations.length === 0
      const { stdout } = await scene().attack(attacker, connectAll([other], isOut ? ANSWER_DEADLINE_S : SILENCE_S))
      if (isOut || network === 'none') expect(stdout).toBe(isOut ? `${other}\n` : '')
    },
  )
}

/** Returns a line of `sh` that tries each `address/port` and prints those that connect within `patienceS` seconds. */
export function connectAll(targets: readonly string[], patienceS = SILENCE_S): string {
  const tries = targets.map(
    (target) => `{ timeout ${patienceS} bash -c ': < /dev/tcp/${target}' 2>/dev/null && echo ${target}; } &`,
  )
  return `${tries.join('\n')}\nwait`
}

/** Returns the gateways in the kernel's table, whose addresses are little-endian hex. */
function gatewaysIn(table: string): string[] {
  return table.split('\n').flatMap((row) => {
    const gateway = row.split('\t')[2]
    if (!gateway || !/^[\dA-F]{8}$/.test(gateway) || gateway === '00000000') return []
    return [[6, 4, 2, 0].map((at) => Number.parseInt(gateway.slice(at, at + 2), 16)).join('.')]
  })
}
