import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { ALLOWED_CALLS, REFUSED_CALLS } from './allowed-calls.ts'
import { seccompProfile } from './seccomp-profile.ts'
import { runContainer } from './testing/run-container.ts'

const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
const RUNTIMES = ['crun', 'runc'].filter(isInstalled)

/** A call, its numbers on x64 and arm64 (undefined where there is none), its arguments, and the result: 0 or an errno. */
type Row = [name: string, numbers: [number | undefined, number | undefined], args: number[], answer: number]

const EPERM = 1
const EAFNOSUPPORT = 97
const EPROTONOSUPPORT = 93
const ENOSYS = 38
const SIGCHLD = 17

const ROWS: Row[] = [
  ['mount', [165, 40], [0, 0, 0, 0, 0], EPERM],
  ['umount2', [166, 39], [0, 0], EPERM],
  ['pivot_root', [155, 41], [0, 0], EPERM],
  ['move_mount', [429, 429], [0, 0, 0, 0, 0], EPERM],
  ['open_tree', [428, 428], [0, 0, 0], EPERM],
  ['fsopen', [430, 430], [0, 0], EPERM],
  ['mount_setattr', [442, 442], [0, 0, 0, 0, 0], EPERM],
  ['setns', [308, 268], [0, 0], EPERM],
  ['unshare of nothing', [272, 97], [0], EPERM],
  ['unshare of a user namespace', [272, 97], [0x10000000], EPERM],
  ['clone into a mount namespace', [56, 220], [0x20000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone into a cgroup namespace', [56, 220], [0x2000000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone into a uts namespace', [56, 220], [0x4000000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone into an ipc namespace', [56, 220], [0x8000000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone into a user namespace', [56, 220], [0x10000000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone into a pid namespace', [56, 220], [0x20000000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone into a network namespace', [56, 220], [0x40000000 + SIGCHLD, 0, 0, 0, 0], EPERM],
  ['clone3', [435, 435], [0, 0], ENOSYS],
  ['a call that does not exist yet', [900, 900], [], ENOSYS],
  ['sethostname', [170, 161], [0, 0], EPERM],
  ['open_by_handle_at', [304, 265], [0, 0, 0], EPERM],
  ['fanotify_init', [300, 262], [0, 0], EPERM],
  ['quotactl', [179, 60], [0, 0, 0, 0], EPERM],
  ['acct', [163, 89], [0], EPERM],
  ['swapon', [167, 224], [0, 0], EPERM],
  ['swapoff', [168, 225], [0], EPERM],
  ['reboot', [169, 142], [0, 0, 0, 0], EPERM],
  ['kexec_load', [246, 104], [0, 0, 0, 0], EPERM],
  ['kexec_file_load', [320, 294], [0, 0, 0, 0, 0], EPERM],
  ['init_module', [175, 105], [0, 0, 0], EPERM],
  ['finit_module', [313, 273], [0, 0, 0], EPERM],
  ['delete_module', [176, 106], [0, 0], EPERM],
  ['bpf', [321, 280], [0, 0, 0], EPERM],
  ['perf_event_open', [298, 241], [0, 0, 0, 0, 0], EPERM],
  ['userfaultfd', [323, 282], [0], EPERM],
  ['io_uring_setup', [425, 425], [1, 0], EPERM],
  ['keyctl', [250, 219], [0, 0, 0, 0, 0], EPERM],
  ['add_key', [248, 217], [0, 0, 0, 0, 0], EPERM],
  ['request_key', [249, 218], [0, 0, 0, 0], EPERM],
  ['pidfd_getfd', [438, 438], [0, 0, 0], EPERM],
  ['syslog', [103, 116], [10, 0, 0], EPERM],
  ['settimeofday', [164, 170], [0, 0], EPERM],
  ['clock_settime', [227, 112], [0, 0], EPERM],
  ['iopl', [172, undefined], [0], EPERM],
  ['ioperm', [173, undefined], [0, 0, 0], EPERM],
  ['modify_ldt', [154, undefined], [0, 0, 0], EPERM],
  ['personality as it is', [135, 92], [0xffffffff], 0],
  ['personality without address randomisation', [135, 92], [0x40000], ENOSYS],
  ['a unix socket', [41, 198], [1, 1, 0], 0],
  ['a unix socket pair of the wrong family', [53, 199], [17, 3, 0, 0], EAFNOSUPPORT],
  ['an IPv4 socket', [41, 198], [2, 1, 0], 0],
  ['an IPv6 socket', [41, 198], [10, 1, 0], 0],
  ['a raw IPv4 socket for ping', [41, 198], [2, 3, 1], 0],
  ['a route netlink socket', [41, 198], [16, 3, 0], 0],
  ['a netfilter netlink socket', [41, 198], [16, 3, 12], EPROTONOSUPPORT],
  ['an audit netlink socket', [41, 198], [16, 3, 9], EPROTONOSUPPORT],
  ['a packet socket', [41, 198], [17, 3, 0], EAFNOSUPPORT],
  ['a key management socket', [41, 198], [15, 3, 2], EAFNOSUPPORT],
  ['a crypto socket', [41, 198], [38, 5, 0], EAFNOSUPPORT],
  ['a vsock socket, which reaches a hypervisor', [41, 198], [40, 1, 0], EAFNOSUPPORT],
  ['a vsock socket with high bits set', [41, 198], [0x100000028, 1, 0], ENOSYS],
  ['an XDP socket', [41, 198], [44, 3, 0], EAFNOSUPPORT],
  ['getpid', [39, 172], [], 0],
]

describe.each(RUNTIMES)('under %s', (runtime) => {
  it('each call is answered as the profile says', async () => {
    const rows = ROWS.filter(([, numbers]) => numberOf(numbers) !== undefined)
    const calls = rows.map(([, numbers, args]) => [numberOf(numbers), ...args].join(','))
    const script =
      'for (@ARGV) { my ($n, @a) = map { $_ + 0 } split /,/; my $r = syscall($n, @a); print $r < 0 ? $! + 0 : 0, "\\n" }'
    const output = await runContainer(runtime, {
      argv: ['/usr/bin/perl', '-e', script, ...calls],
      seccomp: seccompProfile(arch),
    })
    const answers = output.trim().split('\n').map(Number)
    expect(Object.fromEntries(rows.map(([name], index) => [name, answers[index]]))).toEqual(
      Object.fromEntries(rows.map(([name, , , answer]) => [name, answer])),
    )
  })

  it('the programs of a sandbox run', async () => {
    const script = `set -e
      node -e 'require("fs").writeFileSync("a", "node")'
      node -e 'require("child_process").execFileSync("sh", ["-c", "echo child >> a"])'
      node -e 'new (require("worker_threads").Worker)("process.exit(0)", { eval: true })'
      perl -e 'pipe(my $r, my $w); if (fork) { close $w; print <$r>; wait } else { close $r; print $w "forked\\n" }'
      git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first && git log --format=%s
      timeout 60 bash -c 'cat <(echo substituted)'
      tar cf - -C /usr bin/env | tar tf -
      nice -n 5 cat ../a`
    const output = await runContainer(runtime, { argv: ['/bin/bash', '-c', script], seccomp: seccompProfile(arch) })
    expect(output.split('\n')).toEqual(['forked', 'first', 'substituted', 'bin/env', 'nodechild', ''])
  })
})

it('a runtime to test with is installed', () => {
  expect(RUNTIMES).not.toEqual([])
})

describe('the lists', () => {
  it('name no call twice', () => {
    const all = [...ALLOWED_CALLS, ...REFUSED_CALLS, 'clone', 'personality', 'socket', 'socketpair']
    expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([])
  })

  it('are the same for both architectures', () => {
    expect(seccompProfile('arm64').syscalls).toEqual(seccompProfile('x64').syscalls)
    expect(seccompProfile('arm64').architectures).toEqual(['SCMP_ARCH_AARCH64'])
  })
})

function numberOf([x64, arm64]: [number | undefined, number | undefined]): number | undefined {
  return arch === 'x64' ? x64 : arm64
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
