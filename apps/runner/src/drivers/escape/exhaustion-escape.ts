import { open } from 'node:fs/promises'
import type { SandboxSpec } from '@atoll/protocol'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ProbedSandbox } from '../testing/driver-harness.ts'
import type { GetHarness } from './escape-scene.ts'
import { ATTACKERS, perl } from './escape-scene.ts'

const PIDS = 64
const DISK_MIB = 64
const MEMORY_MIB = 128
const SMALL: SandboxSpec['limits'] = { cpu: 1, memoryGiB: MEMORY_MIB / 1024, diskGiB: DISK_MIB / 1024, pids: PIDS }
/** How long a bomb may take to reach its limit, in milliseconds. */
const BOMB_DEADLINE_MS = 60_000
/** System call number of inotify_init1 on this architecture. */
const INOTIFY_INIT1 = process.arch === 'arm64' ? 26 : 294

/** The sandbox in which a bomb goes off, and a sandbox beside it that must not notice. */
interface Blast {
  sandbox: ProbedSandbox
  bystander: ProbedSandbox
  /** Runs a line of `sh`; resolves with its output, or an empty text where the sandbox did not survive it. */
  bomb(script: string): Promise<string>
}

/** Tests that a sandbox which takes all it can get takes nothing from its host or from another sandbox. */
export function describeExhaustion(getHarness: GetHarness): void {
  describe.each(ATTACKERS)('a sandbox that takes all it can get, as %s', (user) => {
    let bystander: ProbedSandbox
    let sandbox: ProbedSandbox
    beforeAll(async () => {
      bystander = await getHarness().startSandbox({ limits: SMALL, user })
    })
    afterAll(() => getHarness().driver.remove(bystander.sandboxId))
    afterEach(() => getHarness().driver.remove(sandbox.sandboxId))

    const prepare = async (): Promise<Blast> => {
      sandbox = await getHarness().startSandbox({ limits: SMALL, user })
      const ended = sandbox.ended.then(() => undefined)
      const run = (script: string) => sandbox.exec(script, { deadlineMs: BOMB_DEADLINE_MS }).catch(() => undefined)
      return { sandbox, bystander, bomb: async (script) => (await Promise.race([run(script), ended]))?.stdout ?? '' }
    }
    describeProcessBombs(prepare)
    describeMemoryBombs(prepare)
    describeDiskBombs(prepare, getHarness)
    describeHandleBombs(prepare)
  })
}

type Prepare = () => Promise<Blast>

function describeProcessBombs(prepare: Prepare): void {
  it('has at most its number of processes', async () => {
    const { bomb } = await prepare()
    const forks = 'my @all; while (defined(my $pid = fork)) { if (!$pid) { sleep 600; exit } push @all, $pid }'
    const output = await bomb(perl(`${forks} print scalar(@all), "\\n"; kill "KILL", @all; wait for @all`))
    expect(Number(output)).toBeGreaterThan(0)
    expect(Number(output)).toBeLessThan(PIDS)
  })

  it('leaves processes to others while its own keep forking', async () => {
    const { bomb, bystander } = await prepare()
    // The process that prints `going` is forked first, because no process can be started later.
    const going = `if (fork) { select(undef, undef, undef, 0.05) until -e "/tmp/full"; print "going\\n"; exit }
      setsid; close STDOUT; close STDERR; while (1) { defined(fork) or mkdir "/tmp/full" }`
    expect(await bomb(perl(`use POSIX "setsid"; ${going}`))).toBe('going\n')
    expect((await bystander.exec('echo fine | cat')).stdout).toBe('fine\n')
  })
}

function describeMemoryBombs(prepare: Prepare): void {
  it('loses its own processes when it takes more memory than it has, and no other', async () => {
    const { bomb, bystander } = await prepare()
    const output = await bomb(
      perl('$| = 1; my @a; while (@a < 1024) { push @a, "x" x 1048576; print "." } print "whole"'),
    )
    expect(output).toMatch(/^\.*$/)
    expect(output.length).toBeLessThan(MEMORY_MIB)
    expect((await bystander.exec('echo fine')).stdout).toBe('fine\n')
  })

  it('has no more shared memory than memory', async () => {
    const { bomb } = await prepare()
    const output = await bomb('dd if=/dev/zero of=/dev/shm/bomb bs=1M count=512 2>/dev/null; stat -c %s /dev/shm/bomb')
    expect(Number(output) / 2 ** 20).toBeLessThanOrEqual(MEMORY_MIB)
  })
}

function describeDiskBombs(prepare: Prepare, getHarness: GetHarness): void {
  it('fills its own disk only, in whichever folder', async ({ skip }) => {
    const limitation = getHarness().driver.info.limitations.find((text) => text.includes('disk'))
    skip(limitation !== undefined, limitation)
    const folders = '/tmp /var/tmp /home/daytona /root /dev /run /run/lock /mnt /etc /sys/fs/cgroup'.split(' ')
    const bombs = folders.map((folder) => `${folder}/bomb`).join(' ')
    const { bomb, sandbox } = await prepare()
    const fill = `for bomb in ${bombs}; do dd if=/dev/zero of=$bomb bs=1M count=${2 * DISK_MIB} 2>/dev/null; done`
    const output = await bomb(`${fill}; cat ${bombs} 2>/dev/null | wc -c`)
    expect(Number(output)).toBeGreaterThan(0)
    expect(Number(output) / 2 ** 20).toBeLessThan(DISK_MIB)
    const after = await sandbox.exec(`rm -f ${bombs} 2>/dev/null; echo again > ~/x && cat ~/x`)
    expect(after.stdout).toBe('again\n')
  })

  it('runs out of files on its own disk only', async ({ skip }) => {
    const limitation = getHarness().driver.info.limitations.find((text) => text.includes('disk'))
    skip(limitation !== undefined, limitation)
    const { bomb, bystander } = await prepare()
    const fill = 'mkdir "/tmp/n"; my $n = 0; while ($n < 500_000 && open(my $file, ">", "/tmp/n/$n")) { $n++ } print $n'
    expect(Number(await bomb(perl(fill)))).toBeLessThan(500_000)
    expect((await bystander.exec('echo fine > ~/x && cat ~/x')).stdout).toBe('fine\n')
  })
}

function describeHandleBombs(prepare: Prepare): void {
  const kinds: [title: string, take: string][] = [
    ['files', 'defined POSIX::open("/dev/null")'],
    ['watches', `syscall(${INOTIFY_INIT1}, 0) >= 0`],
  ]
  it.each(kinds)('leaves %s to others when it has opened all it can', async (_, take) => {
    const { bomb, sandbox, bystander } = await prepare()
    const holding = bomb(
      perl(`use POSIX; mkdir "/tmp/fill"; my $n = 0; $n++ while $n < 2_000_000 && ${take}; rename "/tmp/fill", "/tmp/full";
      select(undef, undef, undef, 0.05) until -e "/tmp/stop"; print $n`),
    )
    const full = await sandbox.exec('until test -e /tmp/full; do sleep 0.05; done; echo full')
    expect(full.stdout).toBe('full\n')
    expect((await bystander.exec(perl(`use POSIX; print ${take} ? "fine" : "none left"`))).stdout).toBe('fine')
    await (await open('/dev/null')).close()
    await sandbox.exec('touch /tmp/stop')
    expect(Number(await holding)).toBeGreaterThan(0)
  })
}
