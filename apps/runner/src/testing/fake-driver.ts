import type { SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { SandboxDriver, StatusListener } from '../drivers/driver.ts'

/** A driver whose sandboxes are entries of a map. */
export interface FakeDriver extends SandboxDriver {
  /** What it was called with, as `start a`. */
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
  return {
    name: 'fake',
    info: { runtime: 'map', limitations: ['it is a fake'], snapshots: ['host'] },
    calls,
    listeners,
    tell: (status) => {
      for (const listener of listeners) listener(status)
    },
    create: async (sandboxId, spec) => {
      calls.push(`create ${sandboxId}`)
      const status: SandboxStatus = { sandboxId, state: 'stopped' }
      sandboxes.set(sandboxId, { spec, status })
      return status
    },
    start: async (sandboxId, { env }) => {
      calls.push(`start ${sandboxId} ${JSON.stringify(env)}`)
      return set(sandboxId, 'running')
    },
    stop: async (sandboxId, graceMs) => {
      calls.push(`stop ${sandboxId} ${graceMs}`)
      return set(sandboxId, 'stopped')
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
