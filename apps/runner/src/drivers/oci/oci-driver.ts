import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type {
  LaunchSandbox,
  NetworkRules,
  ResizeSandbox,
  SandboxSpec,
  SandboxStatus,
  StartSandbox,
} from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { KeyedQueue } from '../../concurrency.ts'
import { allOver, createConcurrencyLimit, createKeyedQueue } from '../../concurrency.ts'
import type { DriverInfo, SandboxDriver, StatusListener } from '../driver.ts'
import type { HoldStillOptions } from './hold-still.ts'
import { holdStill } from './hold-still.ts'
import type { KnownSandbox } from './known-sandbox.ts'
import { assertSandboxId, keepReason, keepRecord, statusOf } from './known-sandbox.ts'
import { restrictionOf } from './network/restrictions.ts'
import type { NewSandboxes } from './new-sandboxes.ts'
import { createNewSandboxes } from './new-sandboxes.ts'
import type { OciHost } from './oci-host.ts'
import type { OciDriverOptions } from './prepare-host.ts'
import { prepareHost } from './prepare-host.ts'
import { hasLiveSandbox, recoverSandboxes } from './recover-sandboxes.ts'
import { resizeSandbox } from './resize-sandbox.ts'
import { restrictSandbox } from './restrict-sandbox.ts'
import type { OciArchives } from './sandbox-archives/oci-archives.ts'
import { createOciArchives } from './sandbox-archives/oci-archives.ts'
import type { StoppedSandbox } from './sandbox-archives/replace-files.ts'
import type { SandboxEnds } from './sandbox-ends.ts'
import { createSandboxEnds } from './sandbox-ends.ts'
import { removeSandboxFolder } from './sandbox-folder.ts'
import { killSandboxes } from './sandbox-run.ts'
import type { SandboxUser } from './snapshot.ts'
import type { OciSnapshots, UsableSnapshot } from './snapshots/oci-snapshots.ts'
import { openOciSnapshots } from './snapshots/oci-snapshots.ts'
import { createSnapshotSources } from './snapshots/snapshot-sources.ts'
import type { ToolboxOrigin } from './start-toolbox.ts'
import { startToolbox } from './start-toolbox.ts'
import { checkVolumeMounts } from './volumes/mount-volumes.ts'
import type { OciVolumes } from './volumes/oci-volumes.ts'
import { openOciVolumes } from './volumes/oci-volumes.ts'

/** Sandboxes that are made, started or ended at the same time; each takes several short-lived processes. */
const MAX_CONCURRENT_CHANGES = 8
/** How long the last sandboxes may take to end before the host's shared parts are removed, in milliseconds. */
const LAST_END_DEADLINE_MS = 1_000

/**
 * Opens the driver that runs sandboxes with an OCI runtime on an overlay over layers on disk. Throws an Error
 * in one line when that cannot work on this host.
 */
export async function openOciDriver(options: OciDriverOptions): Promise<SandboxDriver> {
  const { host, limitations, abilities } = await prepareHost(options)
  try {
    const sandboxes = await recoverSandboxes(host)
    const info = { runtime: host.runtime.label, limitations, abilities }
    const driver = new OciDriver(host, info, sandboxes)
    await driver.open(options.snapshotDirectories)
    return driver
  } catch (error) {
    // Sandboxes that run on keep their network, which the next start takes over.
    if (!(await hasLiveSandbox(host.folders.sandboxes))) await host.network?.[Symbol.asyncDispose]()
    await host.disks[Symbol.asyncDispose]()
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
  readonly #closing = new AbortController()
  readonly #ends: SandboxEnds
  readonly #new: NewSandboxes
  #snapshots: OciSnapshots | undefined
  readonly archives: OciArchives
  #volumes: OciVolumes | undefined

  constructor(host: OciHost, info: DriverInfo, sandboxes: Map<string, KnownSandbox>) {
    this.#host = host
    this.info = info
    this.#sandboxes = sandboxes
    this.#ends = createSandboxEnds({
      host,
      sandboxes,
      queue: this.#queue,
      limit: this.#limit,
      closing: this.#closing.signal,
    })
    this.#new = createNewSandboxes({
      host,
      limit: this.#limit,
      check: (spec) => this.#check(spec),
      originOf: (spec) => this.#originOf(spec),
      parentOf: (id) => ({ ...this.#known(id), withStill: (use) => this.#withStillSandbox(id, use, this.#limit) }),
      onMade: (sandbox) => this.#sandboxes.set(sandbox.sandboxId, sandbox),
    })
    this.archives = createOciArchives({
      host,
      hasZstd: info.abilities.zstd.available,
      find: (sandboxId) => {
        assertSandboxId(sandboxId)
        return this.#known(sandboxId)
      },
      list: () => this.#sandboxes.values(),
      withStillSandbox: (sandboxId, use) => this.#withStillSandbox(sandboxId, use),
      withStoppedSandbox: (sandboxId, use) => this.#withStoppedSandbox(sandboxId, use),
    })
  }

  /** Opens its snapshots and volumes and begins to watch its sandboxes; to be called once, before everything else. */
  async open(directories: readonly string[]): Promise<void> {
    this.#snapshots = await openOciSnapshots({
      host: this.#host,
      sources: createSnapshotSources({
        abilities: this.info.abilities,
        directories,
        originOf: (sandboxId) => this.snapshots.layersOf(this.#known(sandboxId).record.spec.snapshot),
        withStillSandbox: (sandboxId, use) => this.#withStillSandbox(sandboxId, use),
      }),
      isUsed: (ref) => this.#someSpec(({ snapshot }) => snapshot === ref),
    })
    this.#volumes = await openOciVolumes({
      folder: this.#host.folders.volumes,
      disk: this.#host.disk,
      log: this.#host.log,
      run: this.#host.run,
      isUsed: (volumeId) => this.#someSpec(({ volumes = [] }) => volumes.some((mount) => mount.volumeId === volumeId)),
    })
    await this.archives.open()
    this.#ends.open()
  }

  #someSpec(condition: (spec: SandboxSpec) => boolean): boolean {
    const specs = [...this.#sandboxes.values()].map(({ record }) => record.spec)
    return [...specs, ...this.#new.underWay.values()].some(condition)
  }

  get volumes(): OciVolumes {
    if (this.#volumes === undefined) throw new Error('the driver is not open yet')
    return this.#volumes
  }

  get snapshots(): OciSnapshots {
    if (this.#snapshots === undefined) throw new Error('the driver is not open yet')
    return this.#snapshots
  }

  create(sandboxId: string, spec: SandboxSpec): Promise<SandboxStatus> {
    return this.#change(sandboxId, () => this.#create(sandboxId, spec))
  }

  start(sandboxId: string, start: StartSandbox): Promise<SandboxStatus> {
    return this.#change(sandboxId, () => this.#start(sandboxId, start))
  }

  launch(sandboxId: string, launch: LaunchSandbox): Promise<SandboxStatus> {
    return this.#change(sandboxId, () => this.#launch(sandboxId, launch))
  }

  stop(sandboxId: string, graceMs: number): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await this.#ends.halt(sandbox, graceMs)
      // The caller need not wait until the disk is unmounted; the next call for this sandbox waits for it.
      this.#ends.lookAt(sandbox)
      return statusOf(sandbox)
    })
  }

  resize(sandboxId: string, wanted: ResizeSandbox): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await this.#ends.notice(sandbox)
      const limits = await this.#limit(() => resizeSandbox(this.#host, sandbox, wanted))
      await keepRecord(sandbox, { ...sandbox.record, limits })
      return statusOf(sandbox)
    })
  }

  setNetworkRules(sandboxId: string, rules: NetworkRules): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await restrictSandbox(this.#host, sandbox, rules)
      return statusOf(sandbox)
    })
  }

  async remove(sandboxId: string): Promise<void> {
    this.archives.abandon(sandboxId)
    await this.#change(sandboxId, async () => {
      const sandbox = this.#sandboxes.get(sandboxId)
      if (sandbox === undefined) return
      await this.#ends.stop(sandbox, 0)
      await removeSandboxFolder(sandbox.folder, this.#host.disks)
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
    return this.#ends.onReport(listener)
  }

  async #create(sandboxId: string, spec: SandboxSpec): Promise<SandboxStatus> {
    const known = this.#sandboxes.get(sandboxId)
    if (known) {
      if (isDeepStrictEqual(known.record.spec, spec)) return statusOf(known)
      throw new AppError('CONFLICT', `sandbox ${sandboxId} exists with another specification`)
    }
    return statusOf(await this.#new.create(sandboxId, spec))
  }

  async #launch(sandboxId: string, { spec, start }: LaunchSandbox): Promise<SandboxStatus> {
    // A fork waits for its parent, whose call may itself wait for a place of `#limit`.
    if (!this.#sandboxes.has(sandboxId) && spec.forkOf === undefined) {
      return statusOf(await this.#new.launch(sandboxId, spec, start))
    }
    await this.#create(sandboxId, spec)
    return await this.#start(sandboxId, start)
  }

  #originOf(spec: SandboxSpec): ToolboxOrigin {
    return { ...this.#resolve(spec), volumes: this.volumes }
  }

  async #start(sandboxId: string, start: StartSandbox): Promise<SandboxStatus> {
    const sandbox = this.#known(sandboxId)
    await this.#ends.notice(sandbox)
    if (start.networkRules) await restrictSandbox(this.#host, sandbox, start.networkRules)
    if (sandbox.running) return statusOf(sandbox)
    const origin = this.#originOf(sandbox.record.spec)
    sandbox.running = await this.#limit(() => startToolbox(this.#host, sandbox, { origin, start }))
    await keepReason(sandbox, undefined)
    return statusOf(sandbox)
  }

  async stopAll(graceMs: number): Promise<void> {
    this.#closing.abort()
    // A copy of a sandbox's files that is under way would keep it from being stopped.
    this.archives.close()
    const sandboxIds = [...this.#sandboxes.keys(), ...this.#new.underWay.keys()]
    // Some steps of a snapshot cannot be cut short: only a sandbox that is being copied waits for them.
    await allOver(this.#snapshots?.close() ?? Promise.resolve(), this.#ends.stopAll(sandboxIds, graceMs))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ends.close()
    try {
      await Promise.race([this.stopAll(0), delay(LAST_END_DEADLINE_MS, undefined, { ref: false })])
    } finally {
      killSandboxes(this.#sandboxes.values())
      await this.#host.network?.[Symbol.asyncDispose]()
      await this.#host.cgroups.removeParent()
      await this.#host.disks[Symbol.asyncDispose]()
    }
  }

  /** Runs one change of one sandbox, after the earlier changes of it. */
  async #change<Result>(sandboxId: string, work: () => Promise<Result>): Promise<Result> {
    assertSandboxId(sandboxId)
    return this.#queue.run(sandboxId, () => {
      if (this.#closing.signal.aborted) throw new AppError('SERVICE_UNAVAILABLE', 'the runner is shutting down')
      return work()
    })
  }

  #known(sandboxId: string): KnownSandbox {
    const sandbox = this.#sandboxes.get(sandboxId)
    if (sandbox === undefined)
      throw new AppError('SANDBOX_NOT_FOUND', `there is no sandbox ${sandboxId} on this runner`)
    return sandbox
  }

  #resolve({ snapshot: name, user: userName }: SandboxSpec): UsableSnapshot & { user: SandboxUser } {
    const usable = this.snapshots.resolve(name)
    const user = usable.snapshot.users.get(userName)
    if (user === undefined) throw new AppError('BAD_REQUEST', `snapshot "${name}" has no user "${userName}"`)
    return { ...usable, user }
  }

  #withStillSandbox<Result>(
    sandboxId: string,
    use: HoldStillOptions<Result>['use'],
    limit: HoldStillOptions<Result>['limit'] = (work) => work(),
  ): Promise<Result> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await this.#ends.notice(sandbox)
      return await holdStill(this.#host, sandbox, { use, limit })
    })
  }

  #withStoppedSandbox(sandboxId: string, use: (sandbox: StoppedSandbox) => Promise<void>): Promise<SandboxStatus> {
    return this.#change(sandboxId, async () => {
      const sandbox = this.#known(sandboxId)
      await this.#ends.notice(sandbox)
      if (sandbox.running) throw new AppError('SANDBOX_STATE_CONFLICT', `sandbox ${sandboxId} is running`)
      await use(sandbox)
      return statusOf(sandbox)
    })
  }

  /** Throws what `create` throws for an invalid spec. */
  #check(spec: SandboxSpec): void {
    const { snapshot } = this.#resolve(spec)
    restrictionOf(spec.networkRules)
    checkVolumeMounts(spec.volumes ?? [], snapshot, this.volumes)
  }
}
