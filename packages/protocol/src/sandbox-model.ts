import type { Static } from 'typebox'
import { Type } from 'typebox'
import { MAX_SANDBOX_VOLUMES } from './runner-volume-model.ts'
import { BackupState, MAX_TTL_MINUTES, networkSettings } from './sandbox-settings-model.ts'
import { DesiredState, ShownSandboxState } from './sandbox-state.ts'
import { BuildInfo, CreateBuildInfo } from './snapshot-model.ts'
import { SandboxVolume } from './volume-model.ts'

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

/** The auto-archive interval that 0 or a larger value stands for, in minutes: 30 days. */
export const MAX_AUTO_ARCHIVE_MINUTES = 43_200

/** Minutes stopped after which a sandbox is deleted; negative: never, 0: at once. */
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

/** Longest name of a sandbox, in UTF-16 code units. */
export const MAX_SANDBOX_NAME_LENGTH = 255

export const StringMap = Type.Record(Type.String(), Type.String())

export const SandboxClass = Type.Enum(['small', 'medium', 'large'])
export type SandboxClass = Static<typeof SandboxClass>

/** A sandbox as clients see it (§6 of the contract). An absent optional is a missing key, never null. */
export const Sandbox = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    organizationId: Type.String(),
    name: Type.String({ description: "The id's own text when none was given" }),
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
    state: Type.Optional(ShownSandboxState),
    desiredState: Type.Optional(DesiredState),
    errorReason: Type.Optional(Type.String()),
    recoverable: Type.Optional(Type.Boolean()),
    backupState: Type.Optional(BackupState),
    backupCreatedAt: Type.Optional(
      Type.String({ format: 'date-time', description: 'When the last whole one was asked for' }),
    ),
    autoStopInterval: Type.Optional(Type.Integer({ description: 'Minutes; 0 is never' })),
    autoArchiveInterval: Type.Optional(Type.Integer({ description: 'Minutes' })),
    autoDeleteInterval: Type.Optional(Type.Integer({ description: 'Minutes; negative is never, 0 at once' })),
    autoDestroyAt: Type.Optional(Type.String({ format: 'date-time', description: 'Deleted then, whatever it does' })),
    createdAt: Type.Optional(Type.String({ format: 'date-time' })),
    updatedAt: Type.Optional(Type.String({ format: 'date-time' })),
    lastActivityAt: Type.Optional(Type.String({ format: 'date-time' })),
    class: Type.Optional(SandboxClass),
    sandboxClass: Type.Optional(Type.Enum(['container'])),
    networkBlockAll: Type.Boolean(),
    networkAllowList: Type.Optional(Type.String({ description: 'Blocks of IPv4 addresses by commas' })),
    runnerId: Type.Optional(Type.String({ format: 'uuid' })),
    volumes: Type.Optional(Type.Array(SandboxVolume)),
    buildInfo: Type.Optional(BuildInfo),
    toolboxProxyUrl: Type.String({ description: 'The toolbox answers below this and the id' }),
  },
  { $id: 'Sandbox' },
)
export type Sandbox = Static<typeof Sandbox>

const Amount = Type.Integer({ minimum: 0, maximum: 65_536 })
export const Interval = Type.Integer({ minimum: 0, maximum: MAX_INTERVAL_MINUTES })
export const OsUser = Type.String({ minLength: 1, maxLength: 32, pattern: '^[a-z_][a-z0-9_-]*$' })
export const Volumes = Type.Array(SandboxVolume, { maxItems: MAX_SANDBOX_VOLUMES })

/** Body of `POST /sandbox` (§7). Fields it does not name are ignored. */
export const CreateSandbox = Type.Object({
  name: Type.Optional(
    Type.String({
      maxLength: MAX_SANDBOX_NAME_LENGTH,
      description: 'Unique among what is not destroyed; empty is none',
    }),
  ),
  snapshot: Type.Optional(Type.String({ maxLength: 512, description: 'Id or name; empty is the default' })),
  user: Type.Optional(OsUser),
  env: Type.Optional(StringMap),
  labels: Type.Optional(StringMap),
  public: Type.Optional(Type.Boolean()),
  class: Type.Optional(SandboxClass),
  target: Type.Optional(Type.String({ maxLength: 64, description: 'Region' })),
  cpu: Type.Optional(Amount),
  gpu: Type.Optional(Amount),
  memory: Type.Optional(Amount),
  disk: Type.Optional(Amount),
  autoStopInterval: Type.Optional(Interval),
  autoArchiveInterval: Type.Optional(Interval),
  autoDeleteInterval: Type.Optional(Type.Integer({ minimum: -MAX_INTERVAL_MINUTES, maximum: MAX_INTERVAL_MINUTES })),
  volumes: Type.Optional(Volumes),
  buildInfo: Type.Optional(CreateBuildInfo),
  ttlMinutes: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MAX_TTL_MINUTES, description: 'Deleted after that; 0 is never' }),
  ),
  ...networkSettings,
})
export type CreateSandbox = Static<typeof CreateSandbox>

/** Body of `POST /sandbox/{id}/fork`. */
export const ForkSandbox = Type.Object({ name: CreateSandbox.properties.name })
export type ForkSandbox = Static<typeof ForkSandbox>

/** Query of `GET /sandbox/{id}/forks`. */
export const ListForks = Type.Object({
  includeDestroyed: Type.Optional(Type.Boolean({ description: 'Those that are readable still' })),
})
export type ListForks = Static<typeof ListForks>

/** Body and answer of `PUT /sandbox/{id}/labels`. */
export const SandboxLabels = Type.Object({ labels: StringMap }, { $id: 'SandboxLabels' })
export type SandboxLabels = Static<typeof SandboxLabels>

/** The URL of the toolboxes for newer clients, which append the sandbox's id. */
export const ToolboxProxyUrl = Type.Object({ url: Type.String() }, { $id: 'ToolboxProxyUrl' })
export type ToolboxProxyUrl = Static<typeof ToolboxProxyUrl>

/** The URL of a port of a sandbox, and the token that gives access to it (§13). */
export const PortPreviewUrl = Type.Object(
  {
    ...{ sandboxId: Type.String(), url: Type.String(), token: Type.String() },
    legacyProxyUrl: Type.Optional(Type.String()),
  },
  { $id: 'PortPreviewUrl' },
)
export type PortPreviewUrl = Static<typeof PortPreviewUrl>

export const SignedPortPreviewUrl = Type.Object(
  {
    ...{ sandboxId: Type.String(), port: Type.Integer() },
    token: Type.String({ description: '16 lower-case letters and digits, in the place of the id in the host name' }),
    url: Type.String(),
  },
  { $id: 'SignedPortPreviewUrl' },
)
export type SignedPortPreviewUrl = Static<typeof SignedPortPreviewUrl>

/** Body of `POST /sandbox/{id}/last-activity`. */
export const UpdateLastActivity = Type.Object({ activityType: Type.Optional(Type.String({ maxLength: 64 })) })
export type UpdateLastActivity = Static<typeof UpdateLastActivity>
