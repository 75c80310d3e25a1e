import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { describe, expect, it } from 'vitest'
import type { EscapeScene, GetHarness, SystemCall } from './escape-scene.ts'
import { ATTACKERS, perl, systemCalls, useEscapeScene } from './escape-scene.ts'

const EPERM = 1
/** Numbers of the capabilities that Docker leaves root in a container; root in a sandbox has no others. */
const DOCKER_CAPABILITIES = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]

/** Commands that change mounts or namespaces; each must fail. */
const MOUNT_COMMANDS = [
  'mount -t tmpfs none /mnt',
  'mount -t proc none /mnt',
  'mount -t sysfs none /mnt',
  'mount -t cgroup -o memory none /mnt',
  'mount -t cgroup2 none /mnt',
  'mount -t overlay -o lowerdir=/usr,upperdir=/tmp,workdir=/tmp none /mnt',
  'mount --bind / /mnt',
  'mount -o remount,rw /usr',
  'mount -o remount,rw /sys',
  'mount -o remount,rw /proc/sys',
  'mount --make-rshared /',
  'umount -l /opt/atoll',
  'umount -l /proc/sys',
  'umount -l /usr',
  'unshare --mount true',
  'unshare --user --map-root-user true',
  'unshare --net true',
  'unshare --pid --fork true',
  'nsenter --target 1 --mount true',
  'nsenter --target 1 --net true',
  'pivot_root / /mnt',
]

/** Calls that act on the kernel that all sandboxes share, with arguments that do no harm if a call succeeds. */
const KERNEL_CALLS: [title: string, call: SystemCall][] = [
  ['loading a module', [175, 105, 0, 0, '""']],
  ['loading a module from a file', [313, 273, 0, '""', 0]],
  ['removing a module', [176, 106, '"dummy"', 0]],
  ['loading a kernel', [246, 104, 0, 0, 0, 0]],
  ['rebooting', [169, 142, 0, 0, 0, 0]],
  ['swapping', [167, 224, '"/tmp/swap"', 0]],
  ['accounting', [163, 89, '"/tmp/acct"']],
  ['setting the time', [227, 112, 0, 0]],
  ['setting the time of day', [164, 170, 0, 0]],
  ['setting the host name', [170, 161, '"gotcha"', 6]],
  ['reading the kernel log', [103, 116, 3, '" " x 64', 64]],
  ['a bpf program', [321, 280, 0, '" " x 64', 64]],
  ['a performance event', [298, 241, '" " x 128', 0, -1, -1, 0]],
  ['handling page faults', [323, 282, 0]],
  ['an io_uring', [425, 425, 1, '" " x 128']],
  ['adding a key', [248, 217, '"user"', '"atoll"', '"x"', 1, -3]],
  ['the session keyring', [250, 219, 0, -3, 0]],
  ['looking up a key', [249, 218, '"user"', '"atoll"', 0, 0]],
  ['taking a file from another process', [438, 438, 0, 0, 0]],
  ['watching all files', [300, 262, 0, 0]],
]

/** Tests that a sandbox changes nothing about the kernel it shares with its host. */
export function describeHostKernelEscape(getHarness: GetHarness): void {
  describe('the host kernel', () => {
    const scene = useEscapeScene(getHarness)

    it.each(ATTACKERS)(
      'nothing is mounted, unmounted or remounted and no namespace is entered, as %s',
      async (attacker) => {
        const script = MOUNT_COMMANDS.map((command) => `${command} && echo '${command}'`).join('; ')
        expect((await scene().attack(attacker, script)).stdout).toBe('')
      },
    )

    it.each(ATTACKERS)('calls that act on the shared kernel are refused, as %s', async (attacker) => {
      const { stdout } = await scene().attack(attacker, systemCalls(...KERNEL_CALLS.map(([, call]) => call)))
      const answers = stdout.trim().split('\n').map(Number)
      expect(Object.fromEntries(KERNEL_CALLS.map(([title], index) => [title, answers[index]]))).toEqual(
        Object.fromEntries(KERNEL_CALLS.map(([title]) => [title, EPERM])),
      )
    })

    it.each(ATTACKERS)("neither the host's name nor its modules nor its clock change, as %s", async (attacker) => {
      const before = [hostname(), await readFile('/proc/modules', 'utf8').catch(() => '')]
      const script = `hostname gotcha; modprobe dummy; insmod /tmp/x.ko; rmmod dummy; hwclock --systohc; date -s @$(date +%s) > /dev/null && echo set`
      expect((await scene().attack(attacker, script)).stdout).not.toContain('set\n')
      expect([hostname(), await readFile('/proc/modules', 'utf8').catch(() => '')]).toEqual(before)
    })

    it.each(ATTACKERS)("a crash runs no program of the host's, as %s", async (attacker) => {
      const { stdout } = await scene().attack(
        attacker,
        '( : >> /proc/sys/kernel/core_pattern ) && echo opened; ulimit -Hc',
      )
      // With a limit of 1 byte there is no dump, also where the core pattern starts a program.
      expect(['0\n', '1\n']).toContain(stdout)
    })

    describePrivileges(scene)
  })
}

function describePrivileges(scene: () => EscapeScene): void {
  it.each(ATTACKERS)('no privilege can be gained by starting a program, as %s', async (attacker) => {
    const { stdout } = await scene().attack(attacker, 'cat /proc/self/status')
    expect(field(stdout, 'NoNewPrivs')).toBe('1')
    expect(field(stdout, 'Seccomp')).toBe('2')
  })

  it("an ordinary user has no capability, and root at most Docker's", async () => {
    const daytona = (await scene().attack('daytona', 'cat /proc/self/status')).stdout
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(field(daytona, set)).toMatch(/^0+$/)
    const root = (await scene().attack('root', 'cat /proc/self/status')).stdout
    const allowed = DOCKER_CAPABILITIES.reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(BigInt(`0x${field(root, set)}`) & ~allowed, set).toBe(0n)
    }
  })

  it('a program that belongs to root and is marked setuid runs as who started it', async () => {
    const drop = perl('$( = $) = "1000 1000"; $< = $> = 1000; exec "/tmp/id", "-u"')
    const { stdout } = await scene().attack('root', `cp "$(command -v id)" /tmp/id && chmod 4755 /tmp/id && ${drop}`)
    expect(stdout).toBe('1000\n')
    const others = await scene().attack('daytona', 'echo | su -c "id -u" root; sudo -n id -u; pkexec id -u; id -u')
    expect(others.stdout).toBe('1000\n')
  })
}

function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? ''
}
