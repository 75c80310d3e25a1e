import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ProbedSandbox } from '../testing/driver-harness.ts'
import type { EscapeScene, GetHarness } from './escape-scene.ts'
import { ATTACKERS, perl, useEscapeScene } from './escape-scene.ts'
import { ANSWER_DEADLINE_S, connectAll } from './host-network-escape.ts'

/** Tests that a sandbox reaches nothing of another sandbox. */
export function describeNeighboursEscape(getHarness: GetHarness): void {
  describe('another sandbox', () => {
    const scene = useEscapeScene(getHarness, 'nat')
    let victim: ProbedSandbox
    beforeAll(async () => {
      victim = await scene().harness.startSandbox({ network: 'nat' })
    })
    afterAll(() => scene().harness.driver.remove(victim.sandboxId))

    it.each(ATTACKERS)('has files that are not found, as %s', async (attacker) => {
      const { secretName } = scene()
      const folders = ['/tmp', '/var/tmp', '/dev/shm', '/home/daytona']
      const written = await victim.exec(folders.map((folder) => `echo x > ${folder}/${secretName}`).join(' && '))
      expect(written.code, written.stderr).toBe(0)
      expect((await scene().attack(attacker, `find / -name ${secretName} 2>/dev/null`)).stdout).toBe('')
    })

    it.each(ATTACKERS)('has processes that are neither seen nor signalled, as %s', async (attacker) => {
      const { stdout: pid } = await victim.exec(
        `${inBackground(perl(`sleep 600 while "${scene().secretName}"`))} echo $!`,
      )
      const { stdout } = await scene().attack(
        attacker,
        `cat /proc/[0-9]*/cmdline | tr '\\0' ' '; kill -9 ${pid.trim()} 2>&1`,
      )
      expect(stdout).not.toContain(scene().secretName)
      expect((await victim.exec(`kill ${pid.trim()}`)).code).toBe(0)
    })

    it.each(ATTACKERS)('has shared memory, queues and sockets that are not there, as %s', async (attacker) => {
      const key = randomInt(2 ** 30)
      const name = `${scene().secretName}-${attacker}`
      const make = perl(`use Socket; shmget(${key}, 64, 0666 | 01000) // die $!; msgget(${key}, 0666 | 01000) // die $!;
        semget(${key}, 1, 0666 | 01000) // die $!; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die $!;
        bind($s, "\\1\\0\\0${name}") or die $!; listen($s, 1); print "made\\n"; close STDOUT; close STDERR; sleep 600`)
      const { stdout: made } = await victim.exec(`(setsid ${make} & ) | head -1`)
      expect(made).toBe('made\n')
      const { stdout } = await scene().attack(
        attacker,
        perl(`use Socket; print defined shmget(${key}, 64, 0), defined msgget(${key}, 0), defined semget(${key}, 1, 0);
          socket(my $s, AF_UNIX, SOCK_STREAM, 0); print connect($s, "\\1\\0\\0${name}")`),
      )
      expect(stdout).toBe('')
    })

    it.each(ATTACKERS)('has a name and limits that are not found in cgroups or mounts, as %s', async (attacker) => {
      const script = `find /sys/fs/cgroup -name '*${victim.sandboxId}*'; grep -l ${victim.sandboxId} /proc/*/cgroup /proc/*/mountinfo /proc/*/environ`
      expect((await scene().attack(attacker, script)).stdout).toBe('')
    })

    describeConnections(scene, () => victim)
  })
}

function describeConnections(scene: () => EscapeScene, victim: () => ProbedSandbox): void {
  it.each(ATTACKERS)('has ports that do not answer, as %s', async (attacker) => {
    const serve =
      perl(`use IO::Socket::INET; my $server = IO::Socket::INET->new(Listen => 9, LocalAddr => "0.0.0.0") or die $!;
      print $server->sockport, "\\n"; close STDOUT; close STDERR; while (my $c = $server->accept) { close $c }`)
    const port = (await victim().exec(`(setsid ${serve} & ) | head -1`)).stdout.trim()
    const addresses = ownAddresses((await victim().exec('cat /proc/net/fib_trie')).stdout)
    const targets = addresses.map((address) => `${address}/${port}`)
    expect((await victim().exec(connectAll(targets, ANSWER_DEADLINE_S))).stdout.split('\n').sort()).toEqual(
      ['', ...targets].sort(),
    )
    const outer = targets.filter((target) => !target.startsWith('127.'))
    expect((await scene().attack(attacker, connectAll(['127.0.0.1', ...outer]))).stdout).toBe('')
    if (scene().harness.driver.info.limitations.length === 0) expect(outer).toHaveLength(1)
  })
}

/** Returns the local addresses in the kernel's trie of routes. */
function ownAddresses(fibTrie: string): string[] {
  const found = fibTrie.matchAll(/\|-- ([\d.]+)\n\s+\/32 host LOCAL/g)
  return [...new Set([...found].flatMap(([, address]) => address ?? []))]
}

function inBackground(command: string): string {
  return `setsid ${command} > /dev/null 2>&1 < /dev/null &`
}
