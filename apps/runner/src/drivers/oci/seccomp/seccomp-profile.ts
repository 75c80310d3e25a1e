import type { OciLinuxSeccomp, OciSyscallRule } from '../oci-spec.ts'
import { ALLOWED_CALLS, REFUSED_CALLS } from './allowed-calls.ts'

const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97
const EPROTONOSUPPORT = 93

/** Flags of clone(2) that make a namespace: mount, cgroup, uts, ipc, user, pid, net. */
const NAMESPACE_FLAGS = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
const ANY_NAMESPACE_FLAG = NAMESPACE_FLAGS.reduce((all, flag) => all + flag, 0)

/** Allowed personalities: Linux, 32-bit Linux, both with an old version number, and the query for the current one. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

/** Socket families that sandboxes need: unix, IPv4, IPv6. */
const FAMILIES = [1, 2, 10]
const AF_NETLINK = 16
/** Netlink protocols that sandboxes need: to list addresses, and to get events of devices. */
const NETLINK_PROTOCOLS = [0, 15]
/** Families and protocols up to these are refused with errors of their own, with room for future ones; others by default. */
const MAX_FAMILY = 63
const MAX_NETLINK_PROTOCOL = 31

/**
 * Returns the system calls that a sandbox may make, as `linux.seccomp` of the OCI runtime specification. The default answer
 * is ENOSYS, so that a C library newer than this list falls back on older calls, as it does for clone3, whose flags
 * a filter cannot see; known dangerous calls are refused with EPERM. Only the machine's native calls exist: a 32-bit
 * program is killed, because its socket calls hide their arguments from a filter.
 */
export function seccompProfile(arch: 'x64' | 'arm64'): OciLinuxSeccomp {
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [arch === 'x64' ? 'SCMP_ARCH_X86_64' : 'SCMP_ARCH_AARCH64'],
    syscalls: [
      { names: [...ALLOWED_CALLS], action: 'SCMP_ACT_ALLOW' },
      { names: [...REFUSED_CALLS], action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
      ...cloneRules(),
      ...personalityRules(),
      ...socketRules(),
    ],
  }
}

function cloneRules(): OciSyscallRule[] {
  return [
    allow('clone', [{ index: 0, value: ANY_NAMESPACE_FLAG, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]),
    ...NAMESPACE_FLAGS.map((flag) =>
      refuse('clone', EPERM, [{ index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }]),
    ),
  ]
}

function personalityRules(): OciSyscallRule[] {
  return PERSONALITIES.map((value) => allow('personality', [{ index: 0, value, op: 'SCMP_CMP_EQ' }]))
}

function socketRules(): OciSyscallRule[] {
  const family = (value: number) => ({ index: 0, value, op: 'SCMP_CMP_EQ' }) as const
  const protocol = (value: number) => ({ index: 2, value, op: 'SCMP_CMP_EQ' }) as const
  const otherFamilies = numbersTo(MAX_FAMILY).filter((value) => !FAMILIES.includes(value) && value !== AF_NETLINK)
  const otherProtocols = numbersTo(MAX_NETLINK_PROTOCOL).filter((value) => !NETLINK_PROTOCOLS.includes(value))
  return ['socket', 'socketpair'].flatMap((name) => [
    ...FAMILIES.map((value) => allow(name, [family(value)])),
    ...NETLINK_PROTOCOLS.map((value) => allow(name, [family(AF_NETLINK), protocol(value)])),
    ...otherFamilies.map((value) => refuse(name, EAFNOSUPPORT, [family(value)])),
    ...otherProtocols.map((value) => refuse(name, EPROTONOSUPPORT, [family(AF_NETLINK), protocol(value)])),
  ])
}

function numbersTo(last: number): number[] {
  return Array.from({ length: last + 1 }, (_, number) => number)
}

function allow(name: string, args: NonNullable<OciSyscallRule['args']>): OciSyscallRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args }
}

function refuse(name: string, errnoRet: number, args: NonNullable<OciSyscallRule['args']>): OciSyscallRule {
  return { names: [name], action: 'SCMP_ACT_ERRNO', errnoRet, args }
}
