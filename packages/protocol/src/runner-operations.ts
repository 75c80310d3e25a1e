import type { Static } from 'typebox'
import { Type } from 'typebox'
import { RunnerSnapshot } from './runner-snapshot-model.ts'
import { MAX_SANDBOX_VOLUMES, VolumeMount } from './runner-volume-model.ts'

/**
 * The runner's HTTP interface, called by the API through the runner's tunnel. Every call is idempotent, so the API may
 * repeat a call whose answer it did not see. Calls for one sandbox are done one at a time, in the order of arrival, so that
 * a deletion is done after the calls that came before it. The same holds for calls for one snapshot, and for one volume.
 * A failure has the body of errors.ts, and its `code` says what to do. Snapshots: docs/spec/runner-snapshots.md.
 *
 *   GET    /info                      RunnerInfo
 *   GET    /sandboxes                 { items: SandboxStatus[] }
 *   GET    /sandboxes/{id}            SandboxStatus, 404 SANDBOX_NOT_FOUND
 *   PUT    /sandboxes/{id}            body SandboxSpec → SandboxStatus; makes files, starts nothing. SNAPSHOT_NOT_FOUND: the
 *                                     runner does not hold the snapshot; SNAPSHOT_NOT_ACTIVE: the snapshot is not ready, or not
 *                                     usable; VOLUME_NOT_FOUND: the runner does not hold a volume; CONFLICT: the sandbox was made
 *                                     from another spec before; DISK_FULL. A fork (`forkOf`): SANDBOX_NOT_FOUND: the parent is
 *                                     not on this runner; BAD_REQUEST: the parent has another snapshot or a larger disk. A fork
 *                                     that is made is never made anew, whatever became of the parent
 *   POST   /sandboxes/{id}/start      body StartSandbox → SandboxStatus `running`; a running sandbox stays as it is
 *   PUT    /sandboxes/{id}/launch     body LaunchSandbox → SandboxStatus `running`: PUT and start in one call, with the errors of
 *                                     both; when the start fails, the sandbox is made but not started
 *   POST   /sandboxes/{id}/stop       body StopSandbox → SandboxStatus `stopped`
 *   POST   /sandboxes/{id}/resize     body ResizeSandbox → SandboxStatus; the sizes last. Cpu up and down and memory up at any
 *                                     time; memory down and disk up only while stopped: SANDBOX_STATE_CONFLICT; disk down:
 *                                     BAD_REQUEST
 *   PUT    /sandboxes/{id}/network    body NetworkRules → SandboxStatus; in force at once, for open connections too; the rules
 *                                     last
 *
 *   Archives of what a sandbox changed over its snapshot (docs/spec/archives.md); all take ?archive=A, a UUID of the API's:
 *   PUT    /sandboxes/{id}/outgoing   → StagedArchive, once the archive is packed, as of one moment: a running sandbox stands
 *                                     still meanwhile. If this archive is already staged, returns it unchanged; deletes an
 *                                     archive with another id. SERVICE_UNAVAILABLE: no room
 *   GET    /sandboxes/{id}/outgoing   application/octet-stream: &bytes=M of it &from=N. NOT_FOUND: the archive is not staged
 *   DELETE /sandboxes/{id}/outgoing   204, also when there is none
 *   GET    /sandboxes/{id}/incoming   ArrivedArchive
 *   PUT    /sandboxes/{id}/incoming   &from=N; body: the bytes from there on → ArrivedArchive. Bytes that arrive before a cut
 *                                     stay. CONFLICT: fewer than N have arrived. Ends an earlier such call that is under way
 *   POST   /sandboxes/{id}/incoming   body UnpackArchive → SandboxStatus; replaces what a stopped sandbox changed. The files of a
 *                                     sandbox that ever ran stay unless all goes well. SANDBOX_STATE_CONFLICT: the sandbox runs;
 *                                     BAD_REQUEST: the bytes are no such archive; DISK_FULL; SERVICE_UNAVAILABLE: the bytes are
 *                                     not those announced, and are deleted: send them anew
 *   DELETE /sandboxes/{id}            204, also when unknown; ends processes and removes files
 *
 *   GET    /snapshots                 { items: RunnerSnapshot[] }, `host` first
 *   GET    /snapshots/{ref}           RunnerSnapshot, SNAPSHOT_NOT_FOUND
 *   PUT    /snapshots/{ref}           body MakeSnapshot → RunnerSnapshot at once; made in the background. The same source again
 *                                     returns the snapshot unchanged, also in `error` (delete it to try again). CONFLICT: another
 *                                     source. RUNNER_INCAPABLE: the host lacks an ability, as `abilities` of /info say;
 *                                     FORBIDDEN: a directory outside the allowed ones; SANDBOX_NOT_FOUND
 *   PUT    /snapshots/{ref}/content   the bytes of an `archive`, a `build`'s context or an `import` → RunnerSnapshot once they
 *                                     have arrived. After a cut, the snapshot waits for content again. If the snapshot waits for
 *                                     no content, returns it unchanged without reading the body
 *   GET    /snapshots/{ref}/log       text/plain, UTF-8 lines. ?follow=true stays open until `active` or `error`;
 *                                     ?from=N leaves out the first N bytes
 *   GET    /snapshots/{ref}/export    application/x-tar, for an `import` elsewhere; SNAPSHOT_NOT_ACTIVE. A failure resets the
 *                                     stream
 *   DELETE /snapshots/{ref}           204, also when unknown; a snapshot that is being made is given up. SNAPSHOT_IN_USE: a
 *                                     sandbox here, running or stopped, was made from it
 *
 *   GET    /volumes                   { items: RunnerVolume[] }
 *   GET    /volumes/{id}              RunnerVolume, VOLUME_NOT_FOUND
 *   PUT    /volumes/{id}              body MakeVolume → RunnerVolume; an existing volume is returned unchanged
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

/** Restrictions of what a sandbox with network `nat` reaches. A sandbox with network `none` reaches nothing anyway. */
export const NetworkRules = Type.Object({
  /** Whether all traffic from the sandbox is blocked, name lookups included. */
  blockAll: Type.Boolean(),
  /** The only blocks it reaches, `a.b.c.d/n` or one address, besides the host's nameservers. Absent: everything. */
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
  /** The rules from the first start on. Absent: the sandbox reaches everything that `network` allows. */
  networkRules: Type.Optional(NetworkRules),
  volumes: Type.Optional(Type.Array(VolumeMount, { maxItems: MAX_SANDBOX_VOLUMES })),
  /**
   * The command of the toolbox's session `entrypoint` at each start. Absent: the image's ENTRYPOINT and CMD; []:
   * nothing.
   */
  entrypoint: Type.Optional(Type.Array(Type.String({ maxLength: 32_768 }), { maxItems: 1024 })),
  /**
   * The parent of a fork, on the same runner and with the same snapshot. The fork gets the files that the parent has
   * when the call is done, as of one moment.
   */
  forkOf: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
})
export type SandboxSpec = Static<typeof SandboxSpec>

/** An absent resource stays as it is. */
export const ResizeSandbox = Type.Partial(Type.Pick(SandboxLimits, ['cpu', 'memoryGiB', 'diskGiB']))
export type ResizeSandbox = Static<typeof ResizeSandbox>

/** A new toolbox token comes with every start: only its hash is stored, so an old one cannot be sent again. */
export const StartSandbox = Type.Object({
  toolboxToken: Type.String({ minLength: 16, maxLength: 256 }),
  /** Variables, which override those of the snapshot's image. */
  env: Type.Record(Type.String(), Type.String()),
  /** Whether its toolbox answers nothing and starts no entrypoint until it is claimed: docs/spec/warm-pool.md. */
  awaitsClaim: Type.Optional(Type.Boolean()),
  /**
   * Rules that are in force before the first process, or at once when the sandbox already runs; they last. Absent: the
   * rules stay as they are.
   */
  networkRules: Type.Optional(NetworkRules),
})
export type StartSandbox = Static<typeof StartSandbox>

/** A sandbox to make and start in one call. */
export const LaunchSandbox = Type.Object({ spec: SandboxSpec, start: StartSandbox })
export type LaunchSandbox = Static<typeof LaunchSandbox>

export const StopSandbox = Type.Object({
  /** The time for processes to end after SIGTERM before SIGKILL, in milliseconds. */
  graceMs: Type.Integer({ minimum: 0, maximum: 60_000 }),
})
export type StopSandbox = Static<typeof StopSandbox>

export const SandboxRunState = Type.Union([Type.Literal('running'), Type.Literal('stopped')])
export type SandboxRunState = Static<typeof SandboxRunState>

export const SandboxStatus = Type.Object({
  sandboxId: Type.String(),
  state: SandboxRunState,
  /** Why the sandbox is stopped, where known: `exit 0`, `killed: out of memory`, … */
  reason: Type.Optional(Type.String()),
})
export type SandboxStatus = Static<typeof SandboxStatus>

/** Whether a host can do something, and if not, what it lacks: `install the package skopeo`. */
export const Ability = Type.Object({ available: Type.Boolean(), reason: Type.Optional(Type.String()) })
export type Ability = Static<typeof Ability>

/** Abilities that a host may lack. */
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
  /** Starts that await a claim. Absent: the runner is older than this ability. */
  claims: Type.Optional(Ability),
})
export type RunnerAbilities = Static<typeof RunnerAbilities>

export const RunnerInfo = Type.Object({
  version: Type.String(),
  driver: Type.String(),
  /** The OCI runtime picked by the probe, such as `crun 1.8.1`. */
  runtime: Type.String(),
  /** The limitations of this host, in words: `disk quota: no loop devices`. Empty when everything works. */
  limitations: Type.Array(Type.String()),
  cpu: Type.Number(),
  memoryGiB: Type.Number(),
  diskGiB: Type.Number(),
  /** The refs of the active snapshots. */
  snapshots: Type.Array(Type.String()),
  /** Absent: the host has none of them. */
  abilities: Type.Optional(RunnerAbilities),
})
export type RunnerInfo = Static<typeof RunnerInfo>

/**
 * `status` comes on every change of a sandbox that no call asked for, `snapshot` on every change of a snapshot's state
 * or need of content except its deletion, and `alive` at least every 10 s.
 */
export const RunnerEvent = Type.Union([
  Type.Object({ type: Type.Literal('status'), status: SandboxStatus }),
  Type.Object({ type: Type.Literal('snapshot'), snapshot: RunnerSnapshot }),
  Type.Object({ type: Type.Literal('alive') }),
])
export type RunnerEvent = Static<typeof RunnerEvent>
