import type { Static } from 'typebox'
import { Type } from 'typebox'

/**
 * The runner's HTTP interface, called by the API through the runner's tunnel. Every call is idempotent, so
 * the API may repeat one whose answer it did not see. Calls for one sandbox are done one at a time, in the order
 * in which they came, so a deletion is not overtaken by what it follows.
 *
 *   GET    /info                      RunnerInfo
 *   GET    /sandboxes                 { items: SandboxStatus[] }
 *   GET    /sandboxes/{id}            SandboxStatus, 404 SANDBOX_NOT_FOUND
 *   PUT    /sandboxes/{id}            body SandboxSpec → SandboxStatus; makes files, starts nothing
 *   POST   /sandboxes/{id}/start      body StartSandbox → SandboxStatus `running`; already running: as it is
 *   POST   /sandboxes/{id}/stop       body StopSandbox → SandboxStatus `stopped`
 *   DELETE /sandboxes/{id}            204, also when unknown; ends processes and removes files
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

export const SandboxSpec = Type.Object({
  snapshot: Type.String({ minLength: 1, maxLength: 512 }),
  user: Type.String({ minLength: 1, maxLength: 32, pattern: '^[a-z_][a-z0-9_-]*$' }),
  limits: SandboxLimits,
  network: Type.Union([Type.Literal('nat'), Type.Literal('none')]),
})
export type SandboxSpec = Static<typeof SandboxSpec>

/** A new toolbox token comes with every start: only its hash is stored, so an old one cannot be sent again. */
export const StartSandbox = Type.Object({
  toolboxToken: Type.String({ minLength: 16, maxLength: 256 }),
  env: Type.Record(Type.String(), Type.String()),
})
export type StartSandbox = Static<typeof StartSandbox>

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
  snapshots: Type.Array(Type.String()),
})
export type RunnerInfo = Static<typeof RunnerInfo>

/** `status` on every change not asked for by a call; `alive` at least every 10 s. */
export const RunnerEvent = Type.Union([
  Type.Object({ type: Type.Literal('status'), status: SandboxStatus }),
  Type.Object({ type: Type.Literal('alive') }),
])
export type RunnerEvent = Static<typeof RunnerEvent>
