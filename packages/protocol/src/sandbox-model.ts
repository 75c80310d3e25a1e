import type { Static } from 'typebox'
import { Type } from 'typebox'
import { DesiredState, SandboxState } from './sandbox-state.ts'

/** Snapshot of a sandbox created without one: the host's own userland. */
export const DEFAULT_SNAPSHOT = 'host'

/** OS user of a sandbox created without one. */
export const DEFAULT_SANDBOX_USER = 'daytona'

/** Region of a sandbox created without a target. */
export const DEFAULT_TARGET = 'us'

/** Minutes without activity after which a sandbox stops; 0 is never. */
export const DEFAULT_AUTO_STOP_MINUTES = 15

/** Minutes stopped after which a sandbox is archived. */
export const DEFAULT_AUTO_ARCHIVE_MINUTES = 10_080

/** What an auto-archive interval of 0, or a larger one, means: 30 days. */
export const MAX_AUTO_ARCHIVE_MINUTES = 43_200

/** Minutes stopped after which a sandbox is deleted; negative is never, 0 at once. */
export const DEFAULT_AUTO_DELETE_MINUTES = -1

/** Longest interval that is stored, in minutes. */
export const MAX_INTERVAL_MINUTES = 2_147_483_647

/** Most labels of a sandbox, and the bytes (UTF-8) of all keys and values together. */
export const MAX_LABELS = 64
export const MAX_LABELS_BYTES = 16 * 1024

/** Most environment variables of a sandbox, and the bytes (UTF-8) of all names and values together. */
export const MAX_ENV_VARIABLES = 256
export const MAX_ENV_BYTES = 64 * 1024

/** How long create and start wait for `started` before they answer 400, in milliseconds. */
export const STARTED_WAIT_MS = 30_000

/** How long a destroyed sandbox stays readable by id, in milliseconds. */
export const DESTROYED_READABLE_MS = 24 * 60 * 60 * 1000

const StringMap = Type.Record(Type.String(), Type.String())

export const SandboxClass = Type.Enum(['small', 'medium', 'large'])
export type SandboxClass = Static<typeof SandboxClass>

/** A sandbox as clients see it (§6 of the contract). An absent optional is a missing key, never null. */
export const Sandbox = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    organizationId: Type.String(),
    snapshot: Type.Optional(Type.String()),
    user: Type.String(),
    env: StringMap,
    labels: StringMap,
    public: Type.Boolean(),
    target: Type.String(),
    cpu: Type.Number({ description: 'Cores' }),
    gpu: Type.Number(),
    memory: Type.Number({ description: 'GiB' }),
    disk: Type.Number({ description: 'GiB' }),
    state: Type.Optional(SandboxState),
    desiredState: Type.Optional(DesiredState),
    errorReason: Type.Optional(Type.String()),
    autoStopInterval: Type.Optional(Type.Integer({ description: 'Minutes; 0 is never' })),
    autoArchiveInterval: Type.Optional(Type.Integer({ description: 'Minutes' })),
    autoDeleteInterval: Type.Optional(Type.Integer({ description: 'Minutes; negative is never, 0 at once' })),
    createdAt: Type.Optional(Type.String({ format: 'date-time' })),
    updatedAt: Type.Optional(Type.String({ format: 'date-time' })),
    class: Type.Optional(SandboxClass),
    networkBlockAll: Type.Optional(Type.Boolean()),
  },
  { $id: 'Sandbox' },
)
export type Sandbox = Static<typeof Sandbox>

const Amount = Type.Integer({ minimum: 0, maximum: 65_536 })

/** Body of `POST /sandbox` (§7). Fields it does not name are ignored. */
export const CreateSandbox = Type.Object({
  snapshot: Type.Optional(Type.String({ maxLength: 512, description: 'Id or name; empty is the default' })),
  user: Type.Optional(Type.String({ minLength: 1, maxLength: 32, pattern: '^[a-z_][a-z0-9_-]*$' })),
  env: Type.Optional(StringMap),
  labels: Type.Optional(StringMap),
  public: Type.Optional(Type.Boolean()),
  class: Type.Optional(SandboxClass),
  target: Type.Optional(Type.String({ maxLength: 64, description: 'Region' })),
  cpu: Type.Optional(Amount),
  gpu: Type.Optional(Amount),
  memory: Type.Optional(Amount),
  disk: Type.Optional(Amount),
  autoStopInterval: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_INTERVAL_MINUTES })),
  autoArchiveInterval: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_INTERVAL_MINUTES })),
  autoDeleteInterval: Type.Optional(Type.Integer({ minimum: -MAX_INTERVAL_MINUTES, maximum: MAX_INTERVAL_MINUTES })),
  volumes: Type.Optional(Type.Array(Type.Object({ volumeId: Type.String(), mountPath: Type.String() }))),
  buildInfo: Type.Optional(
    Type.Object({
      dockerfileContent: Type.Optional(Type.String()),
      contextHashes: Type.Optional(Type.Array(Type.String())),
    }),
  ),
  networkBlockAll: Type.Optional(Type.Boolean()),
})
export type CreateSandbox = Static<typeof CreateSandbox>

/** Body and answer of `PUT /sandbox/{id}/labels`. */
export const SandboxLabels = Type.Object({ labels: StringMap }, { $id: 'SandboxLabels' })
export type SandboxLabels = Static<typeof SandboxLabels>
