import { isDeepStrictEqual } from 'node:util'
import type { SandboxSpec, SandboxStatus, StartSandbox } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { KeyedQueue } from '../../concurrency.ts'
import { createConcurrencyLimit, createKeyedQueue } from '../../concurrency.ts'
import type { DriverInfo, SandboxDriver, StatusListener } from '../driver.ts'
import { isAlive, signalProcess, waitForEnd } from './host-process.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { OciDriverOptions } from './prepare-host.ts'
import { prepareHost } from './prepare-host.ts'
import type { KnownSandbox } from './recover-sandboxes.ts'
import { recoverSandboxes } from './recover-sandboxes.ts'
import { createDisk } from './sandbox-disk.ts'
import { sandboxEnvironment } from './sandbox-environment.ts'
import { makeSandboxFolder, removeSandboxFolder, sandboxFolder, writeSandboxRecord } from './sandbox-folder.ts'
import type { RunnableSandbox } from './sandbox-run.ts'
import { endRun, startRun } from './sandbox-run.ts'
import type { SandboxUser, Snapshot } from './snapshot.ts'

/** How often the first processes of running sandboxes are looked at, in milliseconds. */
const WATCH_INTERVAL_MS = 500
/** Sandboxes that are made, started or ended at the same time; each takes several short-lived processes. */
const MAX_CONCURRENT_CHANGES = 8
/** Also part of a cgroup's, a folder's and a host's name. */
const SANDBOX_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

/**
 * Opens the driver that runs sandboxes with an OCI runtime on an overlay over layers on disk. Throws an Error
 * in one line when that cannot work on this host.
 */
export async function openOciDriver(options: OciDriverOptions): Promise<SandboxDriver> {
  const { host, limitations } = await prepareHost(options)
  try {
    const sandboxes = await recoverSandboxes(host)
    const info = { runtime: host.runtime.label, limitations, snapshots: [...host.snapshots.keys()] }
    return new OciDriver(host, info, sandboxes)
  } catch (error) {
    await host.network?.[Symbol.asyncDispose]()
    throw error
  }
}

class OciDriver implements SandboxDriver {
  readonly name = 'oci'
  readonly info: DriverInfo
  readonly #host: OciHost
  readonly #sandboxes: Map<string, KnownSandbox>
  readonly #queue: KeyedQueue = createKeyedQueue()
  readonly #limit = createConcurrencyLimit(MAX_CONCURRENT_CHANGES)
  readonly #listeners = new Set<StatusListener>()
  readonly #watch: NodeJS.Timeout
  #closing = false

  constructor(host: OciHost, info: DriverInfo, sandboxes: Map<string, KnownSandbox>) {
    this.#host = host
    this.info = info
    this.#sandboxes = sandboxes
    this.#watch = setInterval(() => this.#lookAtAll(), WATCH_INTERVAL_MS)
  }

  create(sandboxId: string, spec: SandboxSpec): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const known = this.#sandboxes.get(sandboxId)
      if (known) {
        if (isDeepStrictEqual(known.record.spec, spec)) return statusOf(known)
        throw new AppError('CONFLICT', `sandbox ${sandboxId} exists with another specification`)
      }
      this.#resolve(spec)
      const folder = sandboxFolder(this.#host.folders.sandboxes, sandboxId)
      const record = { spec, disk: this.#host.disk }
      await this.#limit(() => makeSandboxFolder(folder, record, (draft) => createDisk(draft, record, this.#host.run)))
      const sandbox = { sandboxId, folder, record, running: undefined, isLookedAt: false }
      this.#sandboxes.set(sandboxId, sandbox)
      return statusOf(sandbox)
    })
  }

  start(sandboxId: string, { toolboxToken, env }: StartSandbox): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await this.#noticeEnd(sandbox)
      if (sandbox.running) return statusOf(sandbox)
      const resolved = this.#resolve(sandbox.record.spec)
      const environment = sandboxEnvironment({ sandboxId, user: resolved.user, toolboxToken, env })
      sandbox.running = await this.#limit(() => this.#launch({ ...sandbox, ...resolved }, environment))
      await this.#setReason(sandbox, undefined)
      return statusOf(sandbox)
    })
  }

  stop(sandboxId: string, graceMs: number): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await this.#stopRun(sandbox, graceMs)
      return statusOf(sandbox)
    })
  }

  async remove(sandboxId: string): Promise<void> {
    await this.#change(sandboxId, async () => {
      const sandbox = this.#sandboxes.get(sandboxId)
      if (sandbox === undefined) return
      await this.#stopRun(sandbox, 0)
      await removeSandboxFolder(sandbox.folder)
      this.#sandboxes.delete(sandboxId)
    })
  }

  async get(sandboxId: string): Promise<SandboxStatus> {
    assertSandboxId(sandboxId)
    return statusOf(this.#known(sandboxId))
  }

  async list(): Promise<SandboxStatus[]> {
    return [...this.#sandboxes.values()].map(statusOf)
  }

  onStatusChange(listener: StatusListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async stopAll(graceMs: number): Promise<void> {
    this.#closing = true
    const stops = [...this.#sandboxes.values()].map((sandbox) =>
      this.#queue.run(sandbox.sandboxId, async () => {
        if (!sandbox.running) return
        await this.#stopRun(sandbox, graceMs)
        await this.#setReason(sandbox, 'runner is shutting down')
        this.#tell(sandbox)
      }),
    )
    const failures = (await Promise.allSettled(stops)).flatMap((stop) =>
      stop.status === 'rejected' ? [stop.reason] : [],
    )
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} sandboxes did not stop`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#watch)
    try {
      await this.stopAll(0)
    } finally {
      await this.#host.network?.[Symbol.asyncDispose]()
      await this.#host.cgroups.removeParent()
    }
  }

  /** One change of one sandbox, after those before it. */
  async #change<Result>(sandboxId: string, work: () => Promise<Result>): Promise<Result> {
    assertSandboxId(sandboxId)
    return this.#queue.run(sandboxId, () => {
      if (this.#closing) throw new AppError('SERVICE_UNAVAILABLE', 'the runner is shutting down')
      return work()
    })
  }

  #known(sandboxId: string): KnownSandbox {
    const sandbox = this.#sandboxes.get(sandboxId)
    if (sandbox === undefined)
      throw new AppError('SANDBOX_NOT_FOUND', `there is no sandbox ${sandboxId} on this runner`)
    return sandbox
  }

  #resolve({ snapshot: name, user: userName }: SandboxSpec): { snapshot: Snapshot; user: SandboxUser } {
    const snapshot = this.#host.snapshots.get(name)
    if (snapshot === undefined)
      throw new AppError('SNAPSHOT_NOT_FOUND', `there is no snapshot "${name}" on this runner`)
    const user = snapshot.users.get(userName)
    if (user === undefined) throw new AppError('BAD_REQUEST', `snapshot "${name}" has no user "${userName}"`)
    return { snapshot, user }
  }

  async #launch(sandbox: RunnableSandbox, environment: Record<string, string>): Promise<LaunchedSandbox> {
    const { sandboxId } = sandbox
    try {
      // Processes of an earlier run that was cut short by the end of its runner must not meet the new ones.
      await this.#host.cgroups.remove(sandboxId)
      const command = this.#host.injected.toolboxCommand
      return await startRun(this.#host, sandbox, { command, environment, output: '/dev/null' })
    } catch (error) {
      await endRun(this.#host, sandbox)
      const message = error instanceof Error ? error.message : String(error)
      this.#host.log.warn({ err: error, sandboxId }, 'a sandbox did not start')
      const reason = message.replaceAll(sandbox.folder.path, '…')
      throw new AppError('SANDBOX_START_FAILED', `sandbox ${sandboxId} did not start: ${reason}`, { cause: error })
    }
  }

  async #stopRun(sandbox: KnownSandbox, graceMs: number): Promise<void> {
    const { running } = sandbox
    if (running === undefined) return
    if (graceMs > 0) {
      await signalProcess(running.init, 'SIGTERM')
      await waitForEnd(running.init, graceMs)
    }
    await this.#limit(() => endRun(this.#host, sandbox, running))
    sandbox.running = undefined
  }

  #lookAtAll(): void {
    for (const sandbox of this.#sandboxes.values()) {
      if (sandbox.running === undefined || sandbox.isLookedAt) continue
      sandbox.isLookedAt = true
      void this.#queue
        .run(sandbox.sandboxId, () => this.#noticeEnd(sandbox))
        .catch((error) =>
          this.#host.log.error({ err: error, sandboxId: sandbox.sandboxId }, 'cannot look after a sandbox'),
        )
        .finally(() => {
          sandbox.isLookedAt = false
        })
    }
  }

  /** Cleans up after a sandbox whose first process has ended without a call, and tells why. */
  async #noticeEnd(sandbox: KnownSandbox): Promise<void> {
    const { running } = sandbox
    if (running === undefined || (await isAlive(running.init))) return
    const reason = await this.#limit(() => endRun(this.#host, sandbox, running))
    sandbox.running = undefined
    await this.#setReason(sandbox, reason)
    this.#host.log.info({ sandboxId: sandbox.sandboxId, reason }, 'a sandbox ended by itself')
    this.#tell(sandbox)
  }

  async #setReason(sandbox: KnownSandbox, reason: string | undefined): Promise<void> {
    if (sandbox.record.reason === reason) return
    const { reason: _, ...rest } = sandbox.record
    sandbox.record = reason === undefined ? rest : { ...rest, reason }
    await writeSandboxRecord(sandbox.folder, sandbox.record)
  }

  #tell(sandbox: KnownSandbox): void {
    for (const listener of this.#listeners) listener(statusOf(sandbox))
  }
}

function statusOf({ sandboxId, running, record }: KnownSandbox): SandboxStatus {
  if (running) return { sandboxId, state: 'running' }
  return { sandboxId, state: 'stopped', ...(record.reason === undefined ? {} : { reason: record.reason }) }
}

function assertSandboxId(sandboxId: string): void {
  if (!SANDBOX_ID.test(sandboxId)) throw new AppError('BAD_REQUEST', 'a sandbox id is 1 to 63 letters, digits, - and _')
}
