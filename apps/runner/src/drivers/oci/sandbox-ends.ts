import { isAlive } from '@atoll/service'
import type { KeyedQueue } from '../../concurrency.ts'
import { createConcurrencyLimit } from '../../concurrency.ts'
import type { StatusListener } from '../driver.ts'
import type { KnownSandbox } from './known-sandbox.ts'
import { noteReason, statusOf } from './known-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { EndReason } from './sandbox-run.ts'
import { endRun, haltRun } from './sandbox-run.ts'

/** How often the first processes of running sandboxes are checked, in milliseconds. */
const WATCH_INTERVAL_MS = 500
/** Sandboxes that end at the same time because the runner ends: they only wait for the kernel. */
const MAX_CONCURRENT_ENDS = 32

export interface SandboxEndsOptions {
  host: OciHost
  /** The driver's sandboxes. */
  sandboxes: ReadonlyMap<string, KnownSandbox>
  /** Runs the changes of each sandbox one after the other. */
  queue: KeyedQueue
  /** Bounds how many sandboxes are changed at once while the runner goes on. */
  limit: <Result>(work: () => Promise<Result>) => Promise<Result>
  /** Aborts when the runner begins to end. */
  closing: AbortSignal
}

/**
 * Ends the runs of sandboxes, and notices those that ended by themselves. The methods that take a sandbox, except `lookAt`, are
 * to be called from work in the sandbox's queue.
 */
export interface SandboxEnds {
  /** Begins to watch the first processes of all running sandboxes. */
  open(): void
  /** Ends the watching. */
  close(): void
  /** Ends the processes of a sandbox; its mounts, network and cgroups stay until its run is removed. */
  halt(sandbox: KnownSandbox, graceMs: number): Promise<void>
  /** Ends the processes of a sandbox and removes what its run made. Does nothing when it does not run. */
  stop(sandbox: KnownSandbox, graceMs: number): Promise<void>
  /** Stops these sandboxes and reports their ends. Throws an AggregateError when some did not stop. */
  stopAll(sandboxIds: readonly string[], graceMs: number): Promise<void>
  /** Queues a check of a sandbox: after the calls for it that are under way, and before the next one. */
  lookAt(sandbox: KnownSandbox): void
  /** Cleans up after a sandbox whose first process has ended; unless a call ended it, reports why. */
  notice(sandbox: KnownSandbox): Promise<void>
  /** Calls `listener` with the status of each sandbox whose end is reported. Returns an unsubscriber. */
  onReport(listener: StatusListener): () => void
}

export function createSandboxEnds(options: SandboxEndsOptions): SandboxEnds {
  return new Ends(options)
}

class Ends implements SandboxEnds {
  readonly #options: SandboxEndsOptions
  readonly #limitAtEnd = createConcurrencyLimit(MAX_CONCURRENT_ENDS)
  readonly #listeners = new Set<StatusListener>()
  #watch: NodeJS.Timeout | undefined

  constructor(options: SandboxEndsOptions) {
    this.#options = options
  }

  open(): void {
    this.#watch = setInterval(() => this.#lookAtAll(), WATCH_INTERVAL_MS)
  }

  close(): void {
    clearInterval(this.#watch)
  }

  onReport(listener: StatusListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async halt(sandbox: KnownSandbox, graceMs: number): Promise<void> {
    if (sandbox.running === undefined) return
    // Kills without waiting for a place of `limit`, so that none of hundreds keeps running while it waits.
    await haltRun(sandbox.running, graceMs)
    sandbox.isHalted = true
  }

  async stop(sandbox: KnownSandbox, graceMs: number): Promise<void> {
    if (sandbox.running === undefined) return
    await this.halt(sandbox, graceMs)
    await this.#endRun(sandbox)
  }

  async stopAll(sandboxIds: readonly string[], graceMs: number): Promise<void> {
    const { queue, sandboxes } = this.#options
    const stops = sandboxIds.map((sandboxId) =>
      queue.run(sandboxId, async () => {
        const sandbox = sandboxes.get(sandboxId)
        if (!sandbox?.running) return
        if (sandbox.isHalted) return void (await this.#endRun(sandbox))
        await this.stop(sandbox, graceMs)
        await this.#report(sandbox, 'runner is shutting down')
      }),
    )
    const failures = (await Promise.allSettled(stops)).flatMap((stop) =>
      stop.status === 'rejected' ? [stop.reason] : [],
    )
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} sandboxes did not stop`)
  }

  lookAt(sandbox: KnownSandbox): void {
    const { queue, host } = this.#options
    const { sandboxId } = sandbox
    sandbox.isLookedAt = true
    void queue
      .run(sandboxId, () => this.notice(sandbox))
      .catch((error) => host.log.error({ err: error, sandboxId }, 'cannot look after a sandbox'))
      .finally(() => {
        sandbox.isLookedAt = false
      })
  }

  async notice(sandbox: KnownSandbox): Promise<void> {
    const { running, isHalted, sandboxId } = sandbox
    if (running === undefined || isAlive(running.init)) return
    const reason = await this.#endRun(sandbox)
    if (isHalted) return
    this.#options.host.log.info({ sandboxId, reason }, 'a sandbox ended by itself')
    await this.#report(sandbox, reason)
  }

  #lookAtAll(): void {
    for (const sandbox of this.#options.sandboxes.values()) {
      const { running } = sandbox
      // With hundreds of live sandboxes, queueing for each would cost more than this check.
      if (running && !sandbox.isLookedAt && !isAlive(running.init)) this.lookAt(sandbox)
    }
  }

  async #endRun(sandbox: KnownSandbox): Promise<EndReason> {
    const { host, limit, closing } = this.#options
    const end = (on: OciHost) => endRun(on, sandbox, sandbox.running)
    // When the runner ends, the network is removed as a whole.
    const reason = closing.aborted
      ? await this.#limitAtEnd(() => end({ ...host, network: undefined }))
      : await limit(() => end(host))
    sandbox.running = undefined
    sandbox.isHalted = false
    return reason
  }

  async #report(sandbox: KnownSandbox, reason: EndReason): Promise<void> {
    await noteReason(this.#options.host.log, sandbox, reason)
    for (const listener of this.#listeners) listener(statusOf(sandbox))
  }
}
