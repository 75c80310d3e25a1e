import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type {
  LaunchSandbox,
  NetworkRules,
  ResizeSandbox,
  RunnerInfo,
  SandboxSpec,
  SandboxStatus,
  StagedArchive,
  StartSandbox,
} from '@atoll/protocol'
import { createPeer, TunnelError } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerArchiveClient } from '../runners/runner-archive-client.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import { hashToken } from '../sandboxes/sandbox-steps.ts'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'
import { MemoryArchives } from './memory-archives.ts'
import { noSnapshots, noVolumes } from './nobody-asks.ts'

export type StepVerb =
  | 'make'
  | 'start'
  | 'stop'
  | 'resize'
  | 'network'
  | 'remove'
  | 'export'
  | 'read'
  | 'import'
  | 'send'

/** A call that waits, before or after its effect. */
export interface Trap {
  reached: Promise<void>
  spring(): void
  /** Ends the link, and the call with it. */
  cut(): void
}

interface MemorySandbox {
  state: 'running' | 'stopped'
  token: string | undefined
  /** The files that it has changed. */
  files: string
  resources: ResizeSandbox
  network: NetworkRules | undefined
}

/** A runner and its toolboxes without any network, for tests of code that calls them. */
export class MemoryRunner implements RunnerClient {
  readonly sandboxes = new Map<string, MemorySandbox>()
  readonly archived = new MemoryArchives()
  readonly archives: RunnerArchiveClient
  readonly snapshots = noSnapshots
  readonly volumes = noVolumes
  /** Every call, as `start <id>`. */
  readonly calls: string[] = []
  /** Whether a started sandbox's toolbox connects. */
  toolboxConnects = true
  private readonly tunnels: TunnelRegistry
  private readonly traps = new Map<string, { reach: () => void; sprung: Promise<void>; passing: number }>()
  private readonly failures: { verb: StepVerb; error: Error }[] = []
  private sequence = 0

  constructor(tunnels: TunnelRegistry) {
    this.tunnels = tunnels
    this.archives = this.createArchives()
  }

  /** Holds the next call of `verb` at that point, or the one after `passing` others. */
  trap(verb: StepVerb, at: 'before' | 'after', passing = 0): Trap {
    let reach: () => void = () => undefined
    let spring: () => void = () => undefined
    let cut: () => void = () => undefined
    const reached = new Promise<void>((resolve) => {
      reach = resolve
    })
    const sprung = new Promise<void>((resolve, reject) => {
      spring = resolve
      cut = () => reject(new TunnelError('LINK_CLOSED', 'the runner is gone'))
    })
    sprung.catch(() => undefined)
    this.traps.set(`${at} ${verb}`, { reach, sprung, passing })
    return { reached, spring, cut }
  }

  /** Makes the next `times` calls of `verb` throw. */
  fail(verb: StepVerb, error: Error, times = 1): void {
    for (let i = 0; i < times; i++) this.failures.push({ verb, error })
  }

  async info(): Promise<RunnerInfo> {
    return {
      ...{ version: '0.0.0', driver: 'memory', runtime: 'none', limitations: [] },
      ...{ cpu: 64, memoryGiB: 1024, diskGiB: 10_000, snapshots: ['host'] },
    }
  }

  welcome(): Promise<never> {
    return Promise.reject(new Error('nobody asks'))
  }

  events(): Promise<never> {
    return Promise.reject(new Error('nobody asks'))
  }

  async list(): Promise<SandboxStatus[]> {
    return [...this.sandboxes.keys()].map((id) => this.statusOf(id))
  }

  async status(id: string): Promise<SandboxStatus> {
    return this.statusOf(id)
  }

  make(id: string, { limits, networkRules, forkOf }: SandboxSpec, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'make', id, signal }, () => {
      if (this.sandboxes.has(id)) return
      const { pids: _, ...resources } = limits
      const files = forkOf === undefined ? '' : this.parent(forkOf).files
      this.sandboxes.set(id, { state: 'stopped', token: undefined, files, resources, network: networkRules })
    })
  }

  /** Returns the parent of a fork. */
  private parent(id: string): MemorySandbox {
    const parent = this.sandboxes.get(id)
    if (parent === undefined)
      throw new RunnerCallError(404, `there is no sandbox ${id} on this runner`, 'SANDBOX_NOT_FOUND')
    return parent
  }

  start(id: string, body: StartSandbox, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'start', id, signal }, async () => {
      const sandbox = this.get(id)
      sandbox.network = body.networkRules ?? sandbox.network
      if (sandbox.state === 'running') return
      Object.assign(sandbox, { state: 'running', token: body.toolboxToken })
      if (this.toolboxConnects) await this.connectToolbox(id, body.toolboxToken)
    })
  }

  async launch(id: string, { spec, start }: LaunchSandbox, signal?: AbortSignal): Promise<SandboxStatus> {
    await this.make(id, spec, signal)
    return await this.start(id, start, signal)
  }

  stop(id: string, _body: unknown, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'stop', id, signal }, () => {
      const sandbox = this.get(id)
      sandbox.state = 'stopped'
    })
  }

  resize(id: string, body: ResizeSandbox, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'resize', id, signal }, () => {
      Object.assign(this.get(id).resources, body)
    })
  }

  setNetwork(id: string, body: NetworkRules, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'network', id, signal }, () => {
      this.get(id).network = body
    })
  }

  async remove(id: string, signal?: AbortSignal): Promise<void> {
    await this.perform({ verb: 'remove', id, signal }, () => {
      this.sandboxes.delete(id)
      this.archived.forget(id)
    })
  }

  private createArchives(): RunnerArchiveClient {
    const { archived } = this
    return {
      stage: async ({ sandboxId, archiveId }, signal) => {
        const files = () => Buffer.from(this.get(sandboxId).files)
        let staged = { bytes: 0, sha256: '', format: 'tar' as StagedArchive['format'] }
        await this.perform({ verb: 'export', id: sandboxId, signal }, () => {
          staged = archived.stage(sandboxId, archiveId, files())
        })
        return staged
      },
      read: async ({ sandboxId, archiveId }, span, signal) => {
        await this.perform({ verb: 'read', id: sandboxId, signal }, () => undefined)
        return Readable.from([archived.read(sandboxId, archiveId, span)])
      },
      discard: async ({ sandboxId, archiveId }) => archived.discard(sandboxId, archiveId),
      arrived: async ({ sandboxId, archiveId }) => {
        this.get(sandboxId)
        return archived.arrived(sandboxId, archiveId)
      },
      send: async ({ sandboxId, archiveId }, { from, source }, signal) => {
        const content = await buffer(source)
        await this.perform({ verb: 'send', id: sandboxId, signal }, () => {
          archived.receive(sandboxId, archiveId, { from, content })
        })
        return archived.arrived(sandboxId, archiveId)
      },
      unpack: ({ sandboxId, archiveId }, whole, signal) =>
        this.perform({ verb: 'import', id: sandboxId, signal }, () => {
          const files = archived.unpack(sandboxId, archiveId, whole)
          if (files !== undefined) this.get(sandboxId).files = files.toString()
        }),
    }
  }

  private async perform(
    call: { verb: StepVerb; id: string; signal: AbortSignal | undefined },
    act: () => void | Promise<void>,
  ): Promise<SandboxStatus> {
    const { verb, id, signal } = call
    signal?.throwIfAborted()
    this.calls.push(`${verb} ${id}`)
    await this.pass(`before ${verb}`, signal)
    const planned = this.failures.findIndex((failure) => failure.verb === verb)
    const [failure] = planned < 0 ? [] : this.failures.splice(planned, 1)
    if (failure !== undefined) throw failure.error
    await act()
    await this.pass(`after ${verb}`, signal)
    return verb === 'remove' ? { sandboxId: id, state: 'stopped' } : this.statusOf(id)
  }

  private async pass(point: string, signal: AbortSignal | undefined): Promise<void> {
    const trap = this.traps.get(point)
    if (trap === undefined) return
    if (trap.passing > 0) {
      trap.passing -= 1
      return
    }
    this.traps.delete(point)
    trap.reach()
    await new Promise<void>((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      trap.sprung.then(resolve, reject)
    })
  }

  private async connectToolbox(sandboxId: string, token: string): Promise<void> {
    const [near, far] = createMemoryLinkPair()
    createPeer(far, { role: 'dialler' })
    const peer = createPeer(near, { role: 'listener' })
    await peer.ready
    this.sequence += 1
    this.tunnels.add({ sandboxId, tokenHash: hashToken(token), peer, sequence: this.sequence })
  }

  get(id: string): MemorySandbox {
    const sandbox = this.sandboxes.get(id)
    if (sandbox === undefined) throw new RunnerCallError(404, `Sandbox ${id} not found`, 'SANDBOX_NOT_FOUND')
    return sandbox
  }

  private statusOf(id: string): SandboxStatus {
    return { sandboxId: id, state: this.get(id).state }
  }
}
