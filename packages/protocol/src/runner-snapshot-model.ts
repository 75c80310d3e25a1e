import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Largest Dockerfile, in characters. */
export const MAX_DOCKERFILE_CHARACTERS = 128 * 1024
/** Most registries whose credentials may come with one call. */
export const MAX_REGISTRIES = 20
/** The default and the highest limit of a snapshot's content on disk, in GiB. */
export const DEFAULT_SNAPSHOT_GIB = 20
export const MAX_SNAPSHOT_GIB = 1024
/** Most bytes kept of a snapshot's log: further bytes are counted, not kept. */
export const MAX_SNAPSHOT_LOG_BYTES = 4 * 1024 * 1024

/**
 * The name of a snapshot between the API and its runners, chosen by the API: the same content has the same ref on every
 * runner. `host` is built in and can be neither made nor deleted.
 */
export const SnapshotRef = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$' })

/** A registry to log in to, never written to disk. `host` is as in an image reference: `ghcr.io`, `127.0.0.1:5000`. */
export const RegistryAccess = Type.Object({
  host: Type.String({ minLength: 1, maxLength: 255, pattern: '^[A-Za-z0-9.-]+(:[0-9]{1,5})?$' }),
  username: Type.String({ minLength: 1, maxLength: 1024 }),
  password: Type.String({ maxLength: 16_384 }),
})
export type RegistryAccess = Static<typeof RegistryAccess>

/** A folder of the runner's host, absolute; FORBIDDEN unless the runner's configuration lists it or one above it. */
const DirectorySource = Type.Object({
  kind: Type.Literal('directory'),
  path: Type.String({ minLength: 1, maxLength: 4096, pattern: '^/' }),
})

/**
 * A tar archive of a root file system, sent as the snapshot's content: plain, gzip, or zstd where the host has it. Several
 * plain archives, or several gzip archives, one after another are read as one.
 */
const ArchiveSource = Type.Object({ kind: Type.Literal('archive') })

/** The present files of a sandbox of this runner, over its own snapshot. A running sandbox is paused meanwhile. */
const SandboxSource = Type.Object({
  kind: Type.Literal('sandbox'),
  sandboxId: Type.String({ minLength: 1, maxLength: 63 }),
})

/** An image of a registry, for the runner's architecture. Registries on loopback may speak plain HTTP. */
const ImageSource = Type.Object({
  kind: Type.Literal('image'),
  /** The image's name with a tag or a digest: `docker.io/library/python:3.13-slim`, `127.0.0.1:5000/a@sha256:…`. */
  reference: Type.String({ minLength: 1, maxLength: 512, pattern: '^[A-Za-z0-9][A-Za-z0-9._:/@-]*$' }),
  registries: Type.Optional(Type.Array(RegistryAccess, { maxItems: MAX_REGISTRIES })),
})

/** A Dockerfile. Its context is the snapshot's content, a tar archive as above; the runner fetches the images of FROM. */
const BuildSource = Type.Object({
  kind: Type.Literal('build'),
  dockerfile: Type.String({ minLength: 1, maxLength: MAX_DOCKERFILE_CHARACTERS }),
  /** False if there is no context; the runner then waits for no content. */
  hasContext: Type.Boolean(),
  registries: Type.Optional(Type.Array(RegistryAccess, { maxItems: MAX_REGISTRIES })),
  /** Cores, GiB and GiB for the build itself; absent: the runner's defaults. */
  limits: Type.Optional(
    Type.Object({
      cpu: Type.Number({ exclusiveMinimum: 0, maximum: 64 }),
      memoryGiB: Type.Number({ minimum: 0.25, maximum: 256 }),
      diskGiB: Type.Number({ minimum: 0.25, maximum: MAX_SNAPSHOT_GIB }),
    }),
  ),
})

/** A snapshot of another runner: its export is this one's content. */
const ImportSource = Type.Object({ kind: Type.Literal('import') })

export const SnapshotSource = Type.Union([
  DirectorySource,
  ArchiveSource,
  SandboxSource,
  ImageSource,
  BuildSource,
  ImportSource,
])
export type SnapshotSource = Static<typeof SnapshotSource>

export const MakeSnapshot = Type.Object({
  source: SnapshotSource,
  /** GiB of content on disk at which making it fails; absent: DEFAULT_SNAPSHOT_GIB. */
  maxSizeGiB: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MAX_SNAPSHOT_GIB })),
})
export type MakeSnapshot = Static<typeof MakeSnapshot>

/**
 * `pending`: waits for content, or for its turn. `pulling`: content arrives or is copied. `building`: a Dockerfile runs.
 * `validating`: a sandbox of it is started. `active`: usable. `error`: not usable, `reason` says why. The last two are final.
 */
export const runnerSnapshotStates = ['pending', 'pulling', 'building', 'validating', 'active', 'error'] as const
export const RunnerSnapshotState = Type.Enum([...runnerSnapshotStates])
export type RunnerSnapshotState = (typeof runnerSnapshotStates)[number]

/** How a snapshot was made; `builtin` is `host`. */
export const runnerSnapshotKinds = ['builtin', 'directory', 'archive', 'sandbox', 'image', 'build', 'import'] as const
export const RunnerSnapshotKind = Type.Enum([...runnerSnapshotKinds])
export type RunnerSnapshotKind = (typeof runnerSnapshotKinds)[number]

const Words = Type.Array(Type.String({ maxLength: 32_768 }), { maxItems: 1024 })

/** The settings with which an image is to be run; all empty for a snapshot that was not made from an image. */
export const ImageConfig = Type.Object({
  entrypoint: Words,
  cmd: Words,
  env: Type.Record(Type.String(), Type.String()),
  /** An absolute path, or empty. */
  workDir: Type.String({ maxLength: 4096 }),
  /** The user as the image names it: a name or number, with or without a group; or empty. */
  user: Type.String({ maxLength: 256 }),
})
export type ImageConfig = Static<typeof ImageConfig>

export const RunnerSnapshot = Type.Object({
  ref: Type.String(),
  state: RunnerSnapshotState,
  /** The reason of an `error`, for people. */
  reason: Type.Optional(Type.String()),
  kind: RunnerSnapshotKind,
  /** Whether the snapshot waits for `PUT …/content`. */
  needsContent: Type.Boolean(),
  /** The size on this runner's disk; layers shared with other snapshots count in each. 0 until it is active. */
  sizeGiB: Type.Number(),
  /** `host` if the built-in snapshot lies below the layers of this one. */
  base: Type.Optional(Type.Literal('host')),
  image: ImageConfig,
  /** Accounts a sandbox may run as, `daytona` and `root` always among them. Empty until it is active. */
  users: Type.Array(Type.String()),
  /** The digest of the manifest of the image it was pulled from: `sha256:…`. */
  digest: Type.Optional(Type.String()),
})
export type RunnerSnapshot = Static<typeof RunnerSnapshot>
