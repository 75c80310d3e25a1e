import type { Static } from 'typebox'
import { Type } from 'typebox'
import { MAX_DOCKERFILE_CHARACTERS } from './runner-snapshot-model.ts'
import { SnapshotState } from './snapshot-state.ts'

/** Longest name of a snapshot and longest image reference, in characters. */
export const MAX_SNAPSHOT_NAME_LENGTH = 512

/** Most contexts that one Dockerfile refers to. */
const MAX_CONTEXTS = 100

/** Most words of an entrypoint, and the longest of them, in characters. */
const MAX_ENTRYPOINT_WORDS = 256
const MAX_ENTRYPOINT_LENGTH = 4_096

/** The default resources of a sandbox from a snapshot: cores and GiB. */
export const DEFAULT_SNAPSHOT_CPU = 1
export const DEFAULT_SNAPSHOT_GPU = 0
export const DEFAULT_SNAPSHOT_MEMORY_GIB = 1
export const DEFAULT_SNAPSHOT_DISK_GIB = 3

/** The longest build, pull and validation of a snapshot, in milliseconds. */
export const SNAPSHOT_BUILD_LIMIT_MS = 30 * 60_000
export const SNAPSHOT_PULL_LIMIT_MS = 15 * 60_000
export const SNAPSHOT_VALIDATION_LIMIT_MS = 10 * 60_000

/** The time without a sandbox after which a snapshot becomes inactive, in milliseconds. */
export const SNAPSHOT_UNUSED_MS = 14 * 24 * 60 * 60_000

/** Most snapshots on a page. SDKs before 0.100 ask for all snapshots once they know the total. */
export const MAX_SNAPSHOT_PAGE_SIZE = 10_000
const DEFAULT_SNAPSHOT_PAGE_SIZE = 10
const MAX_SNAPSHOT_PAGE = 1_000_000

const Amount = Type.Integer({ minimum: 0, maximum: 65_536 })
/** A resource of a sandbox, at least 1. */
const Chosen = Type.Integer({ minimum: 1, maximum: 65_536 })
const Time = Type.String({ format: 'date-time' })
const Name = Type.String({ minLength: 1, maxLength: MAX_SNAPSHOT_NAME_LENGTH })
export const Entrypoint = Type.Array(Type.String({ maxLength: MAX_ENTRYPOINT_LENGTH }), {
  maxItems: MAX_ENTRYPOINT_WORDS,
})

/** The Dockerfile and contexts of a build that a client asks for. */
export const CreateBuildInfo = Type.Object({
  dockerfileContent: Type.String({ minLength: 1, maxLength: MAX_DOCKERFILE_CHARACTERS }),
  contextHashes: Type.Optional(
    Type.Array(Type.String({ pattern: '^[A-Za-z0-9_-]{1,128}$' }), {
      maxItems: MAX_CONTEXTS,
      description: 'Of contexts uploaded to the object storage',
    }),
  ),
})
export type CreateBuildInfo = Static<typeof CreateBuildInfo>

/** The Dockerfile and contexts of a build, as clients see it. */
export const BuildInfo = Type.Object(
  {
    dockerfileContent: Type.Optional(Type.String()),
    contextHashes: Type.Optional(Type.Array(Type.String())),
    createdAt: Time,
    updatedAt: Time,
    snapshotRef: Type.String({ description: 'The same for equal content' }),
  },
  { $id: 'BuildInfo' },
)
export type BuildInfo = Static<typeof BuildInfo>

/** A snapshot as clients see it (§9 of the contract). */
export const Snapshot = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    organizationId: Type.Optional(Type.String()),
    general: Type.Boolean({ description: 'Usable by every organization' }),
    name: Type.String(),
    imageName: Type.Optional(Type.String()),
    enabled: Type.Boolean(),
    state: SnapshotState,
    size: Type.Union([Type.Number({ description: 'GiB' }), Type.Null()]),
    entrypoint: Type.Union([Type.Array(Type.String()), Type.Null()]),
    cpu: Type.Number({ description: 'Cores' }),
    gpu: Type.Number(),
    mem: Type.Number({ description: 'GiB' }),
    disk: Type.Number({ description: 'GiB' }),
    errorReason: Type.Union([Type.String(), Type.Null()]),
    createdAt: Time,
    updatedAt: Time,
    lastUsedAt: Type.Union([Time, Type.Null()]),
    buildInfo: Type.Optional(BuildInfo),
    ref: Type.Optional(Type.String({ description: 'What runners call it' })),
    initialRunnerId: Type.Optional(Type.String({ format: 'uuid' })),
    sourceSandboxId: Type.Union([Type.String({ format: 'uuid' }), Type.Null()]),
    sandboxClass: Type.Optional(Type.Enum(['container'])),
  },
  { $id: 'Snapshot' },
)
export type Snapshot = Static<typeof Snapshot>

/** One page of snapshots. */
export const SnapshotPage = Type.Object(
  {
    items: Type.Array(Snapshot),
    total: Type.Integer(),
    page: Type.Integer(),
    totalPages: Type.Integer(),
  },
  { $id: 'SnapshotPage' },
)
export type SnapshotPage = Static<typeof SnapshotPage>

/** Body of `POST /snapshots`. Fields it does not name are ignored. */
export const CreateSnapshot = Type.Object({
  name: Name,
  imageName: Type.Optional(Type.String({ maxLength: MAX_SNAPSHOT_NAME_LENGTH })),
  entrypoint: Type.Optional(Entrypoint),
  general: Type.Optional(Type.Boolean()),
  cpu: Type.Optional(Chosen),
  gpu: Type.Optional(Amount),
  memory: Type.Optional(Chosen),
  disk: Type.Optional(Chosen),
  buildInfo: Type.Optional(CreateBuildInfo),
  regionId: Type.Optional(Type.String({ maxLength: 64, description: 'Region in which it is made' })),
})
export type CreateSnapshot = Static<typeof CreateSnapshot>

const Whole = Type.Optional(Chosen)

/** Query of `POST /snapshots/upload`, whose body is a tar archive of a root folder, plain or gzipped. */
export const UploadSnapshot = Type.Object({
  name: Name,
  entrypoint: Type.Optional(Entrypoint),
  ...{ cpu: Whole, gpu: Type.Optional(Amount), memory: Whole, disk: Whole },
  regionId: Type.Optional(Type.String({ maxLength: 64 })),
})
export type UploadSnapshot = Static<typeof UploadSnapshot>

/** Body of `POST /snapshots/directory`: a root folder on a runner's host. */
export const SnapshotFromDirectory = Type.Object({
  name: Name,
  directory: Type.String({ minLength: 1, maxLength: 4_096, pattern: '^/', description: 'Absolute, on the runner' }),
  entrypoint: Type.Optional(Entrypoint),
  ...{ cpu: Whole, gpu: Type.Optional(Amount), memory: Whole, disk: Whole },
  general: Type.Optional(Type.Boolean()),
  regionId: Type.Optional(Type.String({ maxLength: 64 })),
})
export type SnapshotFromDirectory = Static<typeof SnapshotFromDirectory>

/** Body of `POST /sandbox/{id}/snapshot`. */
export const SnapshotSandbox = Type.Object({
  name: Name,
  includeMemory: Type.Optional(Type.Boolean({ description: 'Refused when true: only files are kept' })),
})
export type SnapshotSandbox = Static<typeof SnapshotSandbox>

export const ToggleSnapshot = Type.Object({ enabled: Type.Boolean() })
export const SetSnapshotGeneral = Type.Object({ general: Type.Boolean() })

export const snapshotSortFields = ['name', 'state', 'lastUsedAt', 'createdAt'] as const
export type SnapshotSortField = (typeof snapshotSortFields)[number]

/** Query of `GET /snapshots`. */
export const ListSnapshots = Type.Object({
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_SNAPSHOT_PAGE, default: 1 })),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: MAX_SNAPSHOT_PAGE_SIZE, default: DEFAULT_SNAPSHOT_PAGE_SIZE }),
  ),
  name: Type.Optional(Type.String({ maxLength: MAX_SNAPSHOT_NAME_LENGTH, description: 'Part of the name' })),
  sourceSandboxId: Type.Optional(Type.String({ maxLength: 64 })),
  sort: Type.Optional(Type.Enum([...snapshotSortFields])),
  order: Type.Optional(Type.Enum(['asc', 'desc'])),
})
export type ListSnapshots = Static<typeof ListSnapshots>

/** Query of the build logs. */
export const BuildLogsQuery = Type.Object({
  follow: Type.Optional(Type.Boolean({ description: 'Stays open until the build ends' })),
})

/** The URL of build logs. */
export const LogsUrl = Type.Object({ url: Type.String() }, { $id: 'Url' })

const imageStates = [
  ...['build_pending', 'building', 'pending', 'pulling_image'],
  ...['pending_validation', 'validating', 'active', 'error', 'removing'],
] as const
export type ImageState =
  | 'build_pending'
  | 'building'
  | 'pending'
  | 'pulling_image'
  | 'pending_validation'
  | 'validating'
  | 'active'
  | 'error'
  | 'removing'

/** A snapshot as the workspace generation of clients sees it. */
export const Image = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    organizationId: Type.Optional(Type.String()),
    general: Type.Boolean(),
    name: Type.String(),
    enabled: Type.Boolean(),
    state: Type.Enum([...imageStates]),
    size: Type.Union([Type.Number(), Type.Null()]),
    entrypoint: Type.Union([Type.Array(Type.String()), Type.Null()]),
    errorReason: Type.Union([Type.String(), Type.Null()]),
    createdAt: Time,
    updatedAt: Time,
    lastUsedAt: Type.Union([Time, Type.Null()]),
  },
  { $id: 'Image' },
)
export type Image = Static<typeof Image>

export const ImagePage = Type.Object(
  { items: Type.Array(Image), total: Type.Integer(), page: Type.Integer(), totalPages: Type.Integer() },
  { $id: 'ImagePage' },
)

/** Body of `POST /images`. */
export const CreateImage = Type.Object({
  name: Name,
  entrypoint: Type.Optional(Entrypoint),
  general: Type.Optional(Type.Boolean()),
})

/** Body of `POST /images/build`. */
export const BuildImage = Type.Object({ name: Name, buildInfo: CreateBuildInfo })
