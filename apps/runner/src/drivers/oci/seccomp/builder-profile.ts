import type { OciLinuxSeccomp } from '../oci-spec.ts'
import { ALLOWED_CALLS, REFUSED_CALLS } from './allowed-calls.ts'
import { seccompProfile } from './seccomp-profile.ts'

/** Calls that buildah needs beyond a sandbox's, as root of a user namespace: to mount layers and confine a build's steps. */
const BUILDER_CALLS = ['mount', 'umount2', 'pivot_root', 'unshare', 'setns', 'sethostname', 'clone']

/** Returns the profile of a build. Each of its steps also runs under buildah's own filter, which forbids these calls again. */
export function builderProfile(arch: 'x64' | 'arm64'): OciLinuxSeccomp {
  const base = seccompProfile(arch)
  const others = base.syscalls.filter(({ names }) => !names.some((name) => ['clone', ...REFUSED_CALLS].includes(name)))
  return {
    ...base,
    syscalls: [
      ...others.filter(({ names }) => !names.includes(ALLOWED_CALLS[0] ?? '')),
      { names: [...ALLOWED_CALLS, ...BUILDER_CALLS], action: 'SCMP_ACT_ALLOW' },
      { names: REFUSED_CALLS.filter((name) => !BUILDER_CALLS.includes(name)), action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    ],
  }
}
