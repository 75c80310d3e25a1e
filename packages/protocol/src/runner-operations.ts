import type { Static } from 'typebox'
import { Type } from 'typebox'
import { RunnerSnapshot } from './runner-snapshot-model.ts'
import { MAX_SANDBOX_VOLUMES, VolumeMount } from './runner-volume-model.ts'

/**
 * The runner's HTTP interface, called by the API through the runner's tunnel. Every call is idempotent, so
 * the API may repeat one whose answer it did not see. Calls for one sandbox are done one at a time, in the order
 * in which they came, so a deletion is not overtaken by what it follows; so are calls for one snapshot, and one volume.
 * A failure has the body of errors.ts, and its `code` says what to do. Snapshots: docs/spec/runner-snapshots.md.
 *
 *   GET    /info                      RunnerInfo
 *   GET    /sandboxes                 { items: SandboxStatus[] }
 *   GET    /sandboxes/{id}            SandboxStatus, 404 SANDBOX_NOT_FOUND
 *   PUT    /sandboxes/{id}            body SandboxSpec → SandboxStatus; makes files, starts nothing. SNAPSHOT_NOT_FOUND: this
 *                                     runner does not hold the snapshot; SNAPSHOT_NOT_ACTIVE: not yet, or not usable;
 *                                     VOLUME_NOT_FOUND: nor a volume; CONFLICT: made from another spec before; DISK_FULL. A fork
 *                                     (`forkOf`): SANDBOX_NOT_FOUND: its parent is not here; BAD_REQUEST: the parent has another
 *                                     snapshot or a larger disk. Made once, it is never made anew, whatever became of the parent
 *   POST   /sandboxes/{id}/start      body StartSandbox → SandboxStatus `running`; already running: as it is
 *   PUT    /sandboxes/{id}/launch     body LaunchSandbox → SandboxStatus `running`: what PUT and start do, in one; made but not
 *                                     started when that fails, as their errors say
 *   POST   /sandboxes/{id}/stop       body StopSandbox → SandboxStatus `stopped`
 *   POST   /sandboxes/{id}/resize     body ResizeSandbox → SandboxStatus; lasts. Cpu up and down and memory up at any time;
 *                                     memory down and disk up only while stopped: SANDBOX_STATE_CONFLICT; disk down: BAD_REQUEST
 *   PUT    /sandboxes/{id}/network    body NetworkRules → SandboxStatus; at once, for open connections too; lasts
 *
 *   Archives of what a sandbox changed over its snapshot (docs/spec/archives.md); all take ?archive=A, a UUID of the API's:
 *   PUT    /sandboxes/{id}/outgoing   → StagedArchive, once it lies ready: packed, as of one moment, for which a running one stands
 *                                     still. There already: as it is; one by another name goes. SERVICE_UNAVAILABLE: no room
 *   GET    /sandboxes/{id}/outgoing   application/octet-stream: &bytes=M of it &from=N. NOT_FOUND: it does not lie ready
 *   DELETE /sandboxes/{id}/outgoing   204, also when there is none
 *   GET    /sandboxes/{id}/incoming   ArrivedArchive
 *   PUT    /sandboxes/{id}/incoming   &from=N; the bytes from there on → ArrivedArchive. What comes before a cut stays. CONFLICT:
 *                                     fewer have come. Ends an earlier one that is under way
 *   POST   /sandboxes/{id}/incoming   body UnpackArchive → SandboxStatus: in place of what a stopped one changed; those of one that
 *                                     ever ran stay unless all went well. SANDBOX_STATE_CONFLICT: it runs; BAD_REQUEST: it is no such
 *                                     archive; DISK_FULL; SERVICE_UNAVAILABLE: not what was announced, and gone: to be sent anew
 *   DELETE /sandboxes/{id}            204, also when unknown; ends processes and removes files
 *
 *   GET    /snapshots                 { items: RunnerSnapshot[] }, `host` first
 *   GET    /snapshots/{ref}           RunnerSnapshot, SNAPSHOT_NOT_FOUND
 *   PUT    /snapshots/{ref}           body MakeSnapshot → RunnerSnapshot at once; made in the background. The same source
 *                                     again: as it is, an `error` too (delete it to try again). Another source: CONFLICT.
 *                                     RUNNER_INCAPABLE: the host lacks what it takes, as info's `abilities` say; FORBIDDEN:
 *                                     a directory outside the allowed ones; SANDBOX_NOT_FOUND
 *   PUT    /snapshots/{ref}/content   the bytes of an `archive`, a `build`'s context or an `import` → RunnerSnapshot once they
 *                                     have arrived. Cut off on the way: it waits for content again. Not waiting for any:
 *                                     as it is, without reading the body
 *   GET    /snapshots/{ref}/log       text/plain, UTF-8 lines. ?follow=true stays open until `active` or `error`;
 *                                     ?from=N leaves out the first N bytes
 *   GET    /snapshots/{ref}/export    application/x-tar, for an `import` elsewhere; SNAPSHOT_NOT_ACTIVE. Reset when it fails
 *   DELETE /snapshots/{ref}           204, also when unknown; one being made is given up. SNAPSHOT_IN_USE: a sandbox here,
 *                                     running or stopped, was made from it
 *
 *   GET    /volumes                   { items: RunnerVolume[] }
 *   GET    /volumes/{id}              RunnerVolume, VOLUME_NOT_FOUND
 *   PUT    /volumes/{id}              body MakeVolume → RunnerVolume; there already: as it is
 *   DELETE /volumes/{id}              204, also when unknown. VOLUME_IN_USE: a sandbox here, running or stopped, has it
 *
 *   GET    /events                    application/x-ndjson of RunnerEvent, open until cancelled
 *   POST   /ready                     204; the API has compared what this runner has, and gives it work from now on
 */

/** Units: cpu in cores, memory and disk in GiB, pids a count. */
export const SandboxLimits = Type.Object({
  cpu: Type.Number({ exclusiveMinimum: 0, maximum: 1024 }),
  memoryGiB: Type.Number({ exclusiveMinimum: 0, maximum: 4096 }),
  diskGiB: Type.Number({ exclusiveMinimum: 0, maximum: 65_536 }),
  pids: Type.Integer({ minimum: 16, maximum: 4_194_304 }),
})
export type SandboxLimits = Static<typeof SandboxLimits>

/** Blocks of IPv4 addresses that one sandbox may be restricted to. */
export const MAX_ALLOWED_BLOCKS = 10

/** What a sandbox with network `nat` reaches of what all may reach; one with `none` reaches nothing anyway. */
export const NetworkRules = Type.Object({
  /** Nothing at all leaves it, name lookups included. */
  blockAll: Type.Boolean(),
  /** Only these, `a.b.c.d/n` or one address, and the host's nameservers; absent: everything. */
  allowList: Type.Optional(
    Type.Array(Type.String({ maxLength: 18, pattern: '^[0-9.]+(/[0-9]{1,2})?$' }), { maxItems: MAX_ALLOWED_BLOCKS }),
  ),
})
export type NetworkRules = Static<typeof NetworkRules>

export const SandboxSpec = Type.Object({
  /** A ref that this runner holds and that is active. */
  snapshot: Type.String({ minLength: 1, maxLength: 512 }),
  /** An account of the snapshot; each has `daytona` and `root`. */
  user: Type.String({ minLength: 1, maxLength: 32, pattern: '^[a-z_][a-z0-9_-]*$' }),
  limits: SandboxLimits,
  network: Type.Union([Type.Literal('nat'), Type.Literal('none')]),
  /** From the first start on; absent: everything that `network` reaches. */
  networkRules: Type.Optional(NetworkRules),
  volumes: Type.Optional(Type.Array(VolumeMount, { maxItems: MAX_SANDBOX_VOLUMES })),
  /** Run in the toolbox's session `entrypoint` at each start. Absent: the image's ENTRYPOINT and CMD; []: nothing. */
  entrypoint: Type.Optional(Type.Array(Type.String({ maxLength: 32_768 }), { maxItems: 1024 })),
  /** Made with the files that this sandbox of the same runner and snapshot has when the call is done, as of one moment. */
  forkOf: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
})
export type SandboxSpec = Static<typeof SandboxSpec>

/** What is absent stays as it is. */
export const ResizeSandbox = Type.Partial(Type.Pick(SandboxLimits, ['cpu', 'memoryGiB', 'diskGiB']))
export type ResizeSandbox = Static<typeof ResizeSandbox>

/** A new toolbox token comes with every start: only its hash is stored, so an old one cannot be sent again. */
export const StartSandbox = Type.Object({
  toolboxToken: Type.String({ minLength: 16, maxLength: 256 }),
  /** Over the variables of the snapshot's image. */
  env: Type.Record(Type.String(), Type.String()),
  /** Its toolbox answers nothing, and starts no entrypoint, until it is claimed: docs/spec/warm-pool.md. */
  awaitsClaim: Type.Optional(Type.Boolean()),
  /** In force before its first process, or at once where it runs already; they last. Absent: as it has them. */
  networkRules: Type.Optional(NetworkRules),
})
export type StartSandbox = Static<typeof StartSandbox>

/** A sandbox that shall run as soon as it is there. */
export const LaunchSandbox = Type.Object({ spec: SandboxSpec, start: StartSandbox })
export type LaunchSandbox = Static<typeof LaunchSandbox>

export const StopSandbox = Type.Object({
  /** Time for processes to end after SIGTERM before SIGKILL. */
  graceMs: Type.Integer({ minimum: 0, maximum: 60_000 }),
})
export type StopSandbox = Static<typeof StopSandbox>

export const SandboxRunState = Type.Union([Type.Literal('running'), Type.Literal('stopped')])
export type SandboxRunState = Static<typeof SandboxRunState>

export const SandboxStatus = Type.Object({
  sandboxId: Type.String(),
  state: SandboxRunState,
  /** Why it is stopped, where known: `exit 0`, `killed: out of memory`, … */
  reason: Type.Optional(Type.String()),
})
export type SandboxStatus = Static<typeof SandboxStatus>

/** Whether a host can do something, and if not, what it lacks: `install the package skopeo`. */
export const Ability = Type.Object({ available: Type.Boolean(), reason: Type.Optional(Type.String()) })
export type Ability = Static<typeof Ability>

/** What not every host can. */
export const RunnerAbilities = Type.Object({
  /** Snapshots of kind `image`. */
  images: Ability,
  /** Snapshots of kind `build`. */
  builds: Ability,
  /** Snapshots of kind `directory`: the configuration allows some. */
  directories: Ability,
  /** Archives compressed with zstd. */
  zstd: Ability,
  /** Sizes of volumes and of sandboxes' disks are kept, and a disk can grow. */
  quotas: Ability,
  /** Network rules, and any network at all. */
  network: Ability,
  /** Starts that await a claim. Absent: a runner from before there were any. */
  claims: Type.Optional(Ability),
})
export type RunnerAbilities = Static<typeof RunnerAbilities>

export const RunnerInfo = Type.Object({
  version: Type.String(),
  driver: Type.String(),
  /** The OCI runtime picked by the probe, such as `crun 1.8.1`. */
  runtime: Type.String(),
  /** What this host cannot do, in words: `disk quota: no loop devices`. Empty when everything works. */
  limitations: Type.Array(Type.String()),
  cpu: Type.Number(),
  memoryGiB: Type.Number(),
  diskGiB: Type.Number(),
  /** Refs of the active ones. */
  snapshots: Type.Array(Type.String()),
  /** Absent: none of them. */
  abilities: Type.Optional(RunnerAbilities),
})
export type RunnerInfo = Static<typeof RunnerInfo>

/**
 * `status` on every change not asked for by a call; `snapshot` on every change of a snapshot's state or need of content,
 * not when it is deleted; `alive` at least every 10 s.
 */
export const RunnerEvent = Type.Union([
  Type.Object({ type: Type.Literal('status'), status: SandboxStatus }),
  Type.Object({ type: Type.Literal('snapshot'), snapshot: RunnerSnapshot }),
  Type.Object({ type: Type.Literal('alive') }),
])
export type RunnerEvent = Static<typeof RunnerEvent>
