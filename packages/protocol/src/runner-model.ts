import type { Static } from 'typebox'
import { Type } from 'typebox'
import { SandboxClass } from './sandbox-model.ts'

export const runnerStates = ['initializing', 'ready', 'disabled', 'decommissioned', 'unresponsive'] as const
export type RunnerState = (typeof runnerStates)[number]

const MAX_NAME_LENGTH = 255
const MAX_URL_LENGTH = 2_048
const MAX_TAGS = 64

const Text = Type.String({ maxLength: MAX_NAME_LENGTH })
const Url = Type.String({ maxLength: MAX_URL_LENGTH })
const Amount = Type.Number({ minimum: 0, maximum: 1_000_000 })

/** A host that makes sandboxes exist, as clients of every generation know it (§12 and §20.1 of the contract). */
export const Runner = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    domain: Type.String({ description: 'How people know it; its name where nothing else was given' }),
    apiUrl: Type.String({ description: 'Empty, or as it was given: a runner dials home, and nothing dials it' }),
    proxyUrl: Type.Optional(Type.String()),
    apiKey: Type.String({ description: 'Empty: its token is shown once, when it is registered' }),
    cpu: Type.Number({ description: 'Cores' }),
    memory: Type.Number({ description: 'GiB' }),
    disk: Type.Number({ description: 'GiB' }),
    gpu: Type.Integer(),
    gpuType: Type.String(),
    class: SandboxClass,
    used: Type.Integer({ description: 'Sandboxes that live there' }),
    capacity: Type.Integer({ description: 'Sandboxes at most; 0 where only room counts' }),
    region: Type.String(),
    state: Type.Enum([...runnerStates]),
    lastChecked: Type.Optional(Type.String({ description: 'When it was last heard of' })),
    unschedulable: Type.Boolean(),
    draining: Type.Boolean(),
    tags: Type.Array(Type.String()),
    version: Type.String({ description: 'Empty before it first connects' }),
    appVersion: Type.Optional(Type.String()),
    apiVersion: Type.String(),
    runnerClass: Type.String(),
    sandboxClass: Type.String(),
    currentAllocatedCpu: Type.Number(),
    currentAllocatedMemoryGiB: Type.Number(),
    currentAllocatedDiskGiB: Type.Number(),
    currentStartedSandboxes: Type.Integer(),
    currentSnapshotCount: Type.Integer(),
    createdAt: Type.String(),
    updatedAt: Type.String(),
  },
  { $id: 'Runner' },
)
export type Runner = Static<typeof Runner>

export const RunnerFull = Type.Object(
  { ...Runner.properties, regionType: Type.Optional(Type.String()) },
  { $id: 'RunnerFull' },
)
export type RunnerFull = Static<typeof RunnerFull>

/** Answer of `POST /runners`, the only one that shows the runner's token, as `apiKey`. */
export const CreatedRunner = Type.Object(Runner.properties, { $id: 'CreatedRunner' })
export type CreatedRunner = Static<typeof CreatedRunner>

/** Body of `POST /runners`, of every generation. The values that the runner reports of its host replace these. */
export const CreateRunner = Type.Object({
  name: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH })),
  region: Type.Optional(Text),
  regionId: Type.Optional(Text),
  domain: Type.Optional(Text),
  apiUrl: Type.Optional(Url),
  proxyUrl: Type.Optional(Url),
  apiKey: Type.Optional(
    Type.String({ pattern: '^[\\w+/.~=-]{16,256}$', description: 'Its token; without one it is made' }),
  ),
  cpu: Type.Optional(Amount),
  memory: Type.Optional(Amount),
  disk: Type.Optional(Amount),
  gpu: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_024 })),
  gpuType: Type.Optional(Text),
  class: Type.Optional(SandboxClass),
  capacity: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  tags: Type.Optional(Type.Array(Text, { maxItems: MAX_TAGS })),
})
export type CreateRunner = Static<typeof CreateRunner>

/** A runner that has a snapshot. */
export const RunnerSnapshotRef = Type.Object(
  { runnerSnapshotId: Type.String(), runnerId: Type.String(), runnerDomain: Type.String() },
  { $id: 'RunnerSnapshotRef' },
)
export type RunnerSnapshotRef = Static<typeof RunnerSnapshotRef>
