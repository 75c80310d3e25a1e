import { readFile, stat } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import type { EscapeScene, GetHarness } from './escape-scene.ts'
import { ATTACKERS, perl, systemCalls, useEscapeScene } from './escape-scene.ts'

const EPERM = 1
/** Devices through which a host's disk, memory or kernel is reached: kind, major and minor number. */
const DEVICES = ['c 1 1', 'c 1 11', 'c 10 237', 'b 7 0', 'c 10 229', 'c 10 232', 'c 10 200', 'c 4 1']
/** Folders in which a sandbox may write, and might make a device. */
const DEVICE_FOLDERS = ['/tmp', '/dev', '/dev/shm', '/home/daytona', '/root']
/** Files that act on the host when written. */
const HOST_SWITCHES = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/modprobe',
  '/proc/sys/kernel/hostname',
  '/proc/sys/vm/drop_caches',
  '/proc/sys/net/ipv4/ip_forward',
  '/proc/sys/fs/binfmt_misc/register',
  '/proc/sysrq-trigger',
  '/proc/irq/default_smp_affinity',
  '/sys/kernel/uevent_helper',
  '/sys/power/state',
]

/** Tests that a sandbox reaches no file, device or switch of its host. */
export function describeHostFilesEscape(getHarness: GetHarness): void {
  describe('host files', () => {
    const scene = useEscapeScene(getHarness)
    for (const [title, script] of WAYS_TO_READ) {
      it.each(ATTACKERS)(`${title}, as %s`, async (attacker) => {
        const { stdout } = await scene().attack(attacker, script(scene()))
        expect(stdout).not.toContain(scene().secret)
      })
    }
    describeShadowAndHandles(scene)
    describeWriting(scene)
    describeDevices(scene)
  })
}

/** Ways to read a file of the host; each prints the content it gets. */
const WAYS_TO_READ: [title: string, script: (scene: EscapeScene) => string][] = [
  ["the host's folders are not there to read from", ({ secretPaths }) => `cat ${secretPaths.join(' ')}`],
  [
    "no file of the host's turns up in a search of everything",
    ({ secretName }) => `find / -name ${secretName} -exec cat {} + 2>/dev/null`,
  ],
  [
    'dots lead no higher than the root',
    ({ secretPaths }) =>
      `for start in / /proc/self/root/ /proc/self/cwd/ /run/atoll/ /opt/atoll/ /usr/bin/ /dev/; do
        for secret in ${secretPaths.join(' ')}; do cat "$start../../../../../..$secret"; done; done`,
  ],
  [
    'roots, folders and descriptors of processes lead to no host file',
    ({ secretPaths }) =>
      `for place in /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/fd/* /proc/[0-9]*/map_files/*; do
        for secret in ${secretPaths.join(' ')}; do cat "$place/../../../../../..$secret" "$place$secret"; done; done`,
  ],
  [
    'a link to a path of the host leads nowhere',
    ({ secretPaths }) =>
      `for secret in ${secretPaths.join(' ')}; do ln -sf /proc/1/root$secret /tmp/link; cat /tmp/link; ln -f $secret /tmp/hard && cat /tmp/hard; done`,
  ],
  [
    'a second chroot leads to no host file',
    ({ secretPaths }) =>
      perl(`mkdir "/tmp/jail"; chroot "/tmp/jail"; chdir ".." for 1 .. 20; chroot ".";
        for (qw(${secretPaths.join(' ')})) { open(my $file, "<", $_) and print <$file> }`),
  ],
]

function describeShadowAndHandles(scene: () => EscapeScene): void {
  it.each(ATTACKERS)("the host's password hashes cannot be read, as %s", async (attacker) => {
    const hashes = (await readFile('/etc/shadow', 'utf8')).split('\n').map((line) => line.split(':')[1] ?? '')
    const { stdout } = await scene().attack(
      attacker,
      'cat /etc/shadow /etc/shadow- /etc/gshadow /proc/1/root/etc/shadow',
    )
    for (const hash of hashes.filter((text) => text.length > 3)) expect(stdout).not.toContain(hash)
  })

  it.each(ATTACKERS)('files are not opened by a handle, which would pass by every mount, as %s', async (attacker) => {
    const open = systemCalls([304, 265, '-100', 'pack("IIQQ", 8, 1, 2, 0)', '0'])
    expect((await scene().attack(attacker, open)).stdout).toBe(`${EPERM}\n`)
  })
}

function describeWriting(scene: () => EscapeScene): void {
  it.each(ATTACKERS)('nothing written to system folders arrives on the host, as %s', async (attacker) => {
    const name = scene().secretName
    const folders = ['/usr', '/usr/bin', '/bin', '/lib', '/etc', '/opt', '/var', '/root', '/tmp', '/run']
    await scene().attack(attacker, folders.map((folder) => `echo gotcha > ${folder}/${name}`).join('; '))
    for (const folder of folders) {
      expect(await readFile(`${folder}/${name}`, 'utf8').catch(() => 'absent')).not.toContain('gotcha')
    }
  })

  it.each(ATTACKERS)("the sandbox's runtime and its way home cannot be changed, as %s", async (attacker) => {
    const script = `touch /opt/atoll/x; echo x > /run/atoll/x; rm -f /run/atoll/dial-home.sock; mv /opt/atoll /opt/other
      mv /run/atoll/dial-home.sock /run/atoll/other; umount -l /run/atoll; umount -l /opt/atoll
      find /opt/atoll -type f -exec sh -c 'echo x >> "$1"' sh {} ';'
      find /opt/atoll /run/atoll -newer /proc/1 -o -name x; find /opt/atoll -type f -writable | head -3; test -S /run/atoll/dial-home.sock && echo whole`
    expect((await scene().attack(attacker, script)).stdout).toBe('whole\n')
  })

  it.each(ATTACKERS)("the kernel's switches cannot be opened for writing, as %s", async (attacker) => {
    const script = HOST_SWITCHES.map((path) => `( : >> ${path} ) && echo ${path}`).join('; ')
    expect((await scene().attack(attacker, script)).stdout).toBe('')
  })

  it.each(ATTACKERS)('no file below /sys, cgroups among them, and /proc/sys is writable, as %s', async (attacker) => {
    const places = '/sys /proc/sys /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs'
    const { stdout } = await scene().attack(attacker, `find ${places} -type f -writable 2>/dev/null | head -5`)
    expect(stdout).toBe('')
  })

  it.each(ATTACKERS)("a sandbox's own limits cannot be raised, as %s", async (attacker) => {
    const files =
      'memory.max memory.limit_in_bytes pids.max cpu.max cpu.cfs_quota_us release_agent notify_on_release cgroup.procs'
    const script = `for name in ${files}; do for file in $(find /sys/fs/cgroup -name $name); do ( : >> $file ) && echo $file; done; done
      for file in $(find /sys/fs/cgroup -name cgroup.procs); do mkdir $(dirname $file)/x && echo made; done`
    expect((await scene().attack(attacker, script)).stdout).toBe('')
  })
}

function describeDevices(scene: () => EscapeScene): void {
  it.each(ATTACKERS)("the host's disks, memory and devices cannot be opened, as %s", async (attacker) => {
    const { dev } = await stat('/')
    const disk = `b ${(dev >> 8) & 0xfff} ${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`
    const script = [disk, ...DEVICES]
      .flatMap((device) =>
        DEVICE_FOLDERS.map(
          (folder) =>
            `mknod ${folder}/device ${device} && { head -c 1 ${folder}/device | wc -c; ( : >> ${folder}/device ) && echo opened; }; rm -f ${folder}/device`,
        ),
      )
      .join('\n')
    const { stdout } = await scene().attack(attacker, script)
    expect(stdout.replaceAll('0\n', '')).toBe('')
  })

  it.each(ATTACKERS)('only harmless devices are there, as %s', async (attacker) => {
    const { stdout } = await scene().attack(
      attacker,
      'find /dev ! -type d ! -type l ! -path "/dev/pts/*" ! -path "/dev/shm/*"',
    )
    const harmless = ['console', 'full', 'null', 'ptmx', 'random', 'tty', 'urandom', 'zero'].map(
      (name) => `/dev/${name}`,
    )
    expect(harmless).toEqual(expect.arrayContaining(stdout.trim().split('\n')))
  })

  it.each(ATTACKERS)("the kernel's memory, keys and log cannot be read, as %s", async (attacker) => {
    const script = `for file in /proc/kcore /proc/keys /proc/timer_list /proc/kmsg /dev/kmsg /dev/mem /sys/firmware/dmi/tables/DMI; do
      timeout 1 head -c 1 $file | wc -c; done; dmesg | wc -l`
    const { stdout } = await scene().attack(attacker, script)
    expect(stdout).toMatch(/^(0\n)+$/)
  })
}
