import type { SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { SandboxDriver, StatusListener } from '../drivers/driver.ts'
import { createFakeArchives } from './fake-archives.ts'
import type { FakeSnapshots } from './fake-snapshots.ts'
import { createFakeSnapshots } from './fake-snapshots.ts'
import { createFakeVolumes } from './fake-volumes.ts'

const NO = { available: false, reason: 'it is a fake' }
const ABILITIES = { images: NO, builds: NO, directories: NO, zstd: NO, quotas: NO, network: NO }

/** A driver whose sandboxes are entries of a map. */
export interface FakeDriver extends SandboxDriver {
  readonly snapshots: FakeSnapshots
  /** The calls that were made, such as `stop a 0`. */
  readonly calls: string[]
  readonly listeners: ReadonlySet<StatusListener>
  tell(status: SandboxStatus): void
}

export function createFakeDriver(): FakeDriver {
  const sandboxes = new Map<string, { spec: SandboxSpec; status: SandboxStatus }>()
  const listeners = new Set<StatusListener>()
  const calls: string[] = []
  const set = (sandboxId: string, state: SandboxStatus['state']) => {
    const sandbox = sandboxes.get(sandboxId)
    if (sandbox === undefined) throw new AppError('SANDBOX_NOT_FOUND', `there is no sandbox ${sandboxId}`)
    sandbox.status = { sandboxId, state }
    return sandbox.status
  }
  const create: SandboxDriver['create'] = async (sandboxId, spec) => {
    calls.push(`create ${sandboxId}`)
    const status: SandboxStatus = { sandboxId, state: 'stopped' }
    sandboxes.set(sandboxId, { spec, status })
    return status
  }
  const start: SandboxDriver['start'] = async (sandboxId, { env }) => {
    calls.push(`start ${sandboxId} ${JSON.stringify(env)}`)
    return set(sandboxId, 'running')
  }
  return {
    name: 'fake',
    info: { runtime: 'map', limitations: ['it is a fake'], abilities: ABILITIES },
    snapshots: createFakeSnapshots(calls),
    archives: createFakeArchives(set),
    volumes: createFakeVolumes(calls),
    calls,
    listeners,
    tell: (status) => {
      for (const listener of listeners) listener(status)
    },
    create,
    start,
    launch: async (sandboxId, launch) => {
      await create(sandboxId, launch.spec)
      return await start(sandboxId, launch.start)
    },
    stop: async (sandboxId, graceMs) => {
      calls.push(`stop ${sandboxId} ${graceMs}`)
      return set(sandboxId, 'stopped')
    },
    resize: async (sandboxId, wanted) => {
      calls.push(`resize ${sandboxId} ${JSON.stringify(wanted)}`)
      return set(sandboxId, 'running')
    },
    setNetworkRules: async (sandboxId, rules) => {
      calls.push(`network ${sandboxId} ${JSON.stringify(rules)}`)
      return set(sandboxId, 'running')
    },
    remove: async (sandboxId) => {
      calls.push(`remove ${sandboxId}`)
      if (sandboxId === 'broken') throw new Error('a secret path')
      sandboxes.delete(sandboxId)
    },
    get: async (sandboxId) => set(sandboxId, sandboxes.get(sandboxId)?.status.state ?? 'stopped'),
    list: async () => [...sandboxes.values()].map(({ status }) => status),
    onStatusChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    stopAll: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  }
}
