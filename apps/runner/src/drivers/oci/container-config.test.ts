import { describe, expect, it } from 'vitest'
import { containerConfig, hostnameOf } from './container-config.ts'

const GIB = 1024 ** 3
const USER = { name: 'daytona', uid: 1000, gid: 1000, additionalGids: [], home: '/home/daytona' }

function config({ uid = 1000, cpu = 2, limitsSwap = true, ownNetworkGiven = false, openFilesLimit = 20_000 } = {}) {
  return containerConfig({
    sandboxId: 'a',
    spec: {
      snapshot: 'host',
      user: 'daytona',
      limits: { cpu, memoryGiB: 0.5, diskGiB: 3, pids: 100 },
      network: 'none',
    },
    user: { ...USER, uid },
    command: ['/opt/atoll/tini'],
    environment: { A: 'b=c' },
    snapshotMounts: [],
    runtimeFolder: '/data/runtime',
    toolsFolder: '/data/tools',
    dialHomeDir: '/data/dial-home',
    cgroupsPath: '/atoll-x/a',
    limitsSwap,
    openFilesLimit,
    seccomp: { defaultAction: 'SCMP_ACT_ERRNO', architectures: [], syscalls: [] },
    seccompFilter: undefined,
    ownNetworkGiven,
  })
}

describe('containerConfig', () => {
  it('turns limits into those of the kernel', () => {
    expect(config().linux.resources).toEqual({
      devices: [{ allow: false, access: 'rwm' }],
      memory: { limit: GIB / 2, swap: GIB / 2 },
      cpu: { quota: 200_000, period: 100_000 },
      pids: { limit: 100 },
    })
    expect(config({ cpu: 0.001, limitsSwap: false }).linux.resources).toMatchObject({
      memory: { limit: GIB / 2 },
      cpu: { quota: 1_000 },
    })
    expect(config().process.rlimits).toContainEqual({ type: 'RLIMIT_NOFILE', soft: 20_000, hard: 20_000 })
  })

  it('leaves an ordinary user no capability, and root none that reaches the host', () => {
    for (const set of Object.values(config().process.capabilities)) expect(set).toEqual([])
    const root = config({ uid: 0 }).process.capabilities
    for (const set of Object.values(root)) {
      for (const name of ['SYS_ADMIN', 'SYS_PTRACE', 'SYS_MODULE', 'SYS_RAWIO', 'MKNOD', 'NET_ADMIN', 'BPF']) {
        expect(set).not.toContain(`CAP_${name}`)
      }
    }
    expect(root.ambient).toEqual([])
    expect(config().process.noNewPrivileges).toBe(true)
  })

  it('has every namespace, and takes the network that it is given', () => {
    const types = ['pid', 'mount', 'ipc', 'uts', 'cgroup', 'network']
    expect(config().linux.namespaces.map(({ type }) => type)).toEqual(types)
    expect(config({ ownNetworkGiven: true }).linux.namespaces).toContainEqual({
      type: 'network',
      path: '/proc/self/ns/net',
    })
  })

  it('passes the environment on as it is', () => {
    expect(config().process.env).toEqual(['A=b=c'])
  })
})

describe('hostnameOf', () => {
  it('makes a host name of every sandbox id', () => {
    expect(hostnameOf('Aa_b')).toBe('aa-b')
    expect(hostnameOf(`${'a'.repeat(62)}_`)).toBe('a'.repeat(62))
  })
})
