import type { SandboxSpec, SandboxStatus, StartSandbox } from '@atoll/protocol'
import { createMemoryLinkPair, createPeer } from '@atoll/tunnel'
import type { RunnerClient } from '../runners/runner-client.ts'
import { RunnerCallError } from '../runners/runner-client.ts'
import { hashToken } from '../sandboxes/sandbox-steps.ts'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'

export type StepVerb = 'make' | 'start' | 'stop' | 'remove'

/** A call that waits, before or after its effect. */
export interface Trap {
  reached: Promise<void>
  spring(): void
}

interface MemorySandbox {
  state: 'running' | 'stopped'
  token: string | undefined
}

/** What runners and their toolboxes do, without any network: for tests of what calls them. */
export class MemoryRunner implements RunnerClient {
  readonly sandboxes = new Map<string, MemorySandbox>()
  /** Every call, as `start <id>`. */
  readonly calls: string[] = []
  /** Whether a started sandbox's toolbox connects. */
  toolboxConnects = true
  private readonly tunnels: TunnelRegistry
  private readonly traps = new Map<string, { reach: () => void; sprung: Promise<void> }>()
  private readonly failures: { verb: StepVerb; error: Error }[] = []
  private sequence = 0

  constructor(tunnels: TunnelRegistry) {
    this.tunnels = tunnels
  }

  /** The next call of `verb` waits at that point. */
  trap(verb: StepVerb, at: 'before' | 'after'): Trap {
    let reach: () => void = () => undefined
    let spring: () => void = () => undefined
    const reached = new Promise<void>((resolve) => {
      reach = resolve
    })
    const sprung = new Promise<void>((resolve) => {
      spring = resolve
    })
    this.traps.set(`${at} ${verb}`, { reach, sprung })
    return { reached, spring }
  }

  /** The next `times` calls of `verb` throw. */
  fail(verb: StepVerb, error: Error, times = 1): void {
    for (let i = 0; i < times; i++) this.failures.push({ verb, error })
  }

  info(): Promise<never> {
    return Promise.reject(new Error('nobody asks'))
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

  make(id: string, _spec: SandboxSpec, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'make', id, signal }, () => {
      if (!this.sandboxes.has(id)) this.sandboxes.set(id, { state: 'stopped', token: undefined })
    })
  }

  start(id: string, body: StartSandbox, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'start', id, signal }, async () => {
      const sandbox = this.sandboxes.get(id)
      if (sandbox === undefined) throw new RunnerCallError(404, `Sandbox ${id} not found`)
      if (sandbox.state === 'running') return
      Object.assign(sandbox, { state: 'running', token: body.toolboxToken })
      if (this.toolboxConnects) await this.connectToolbox(id, body.toolboxToken)
    })
  }

  stop(id: string, _body: unknown, signal?: AbortSignal): Promise<SandboxStatus> {
    return this.perform({ verb: 'stop', id, signal }, () => {
      const sandbox = this.sandboxes.get(id)
      if (sandbox === undefined) throw new RunnerCallError(404, `Sandbox ${id} not found`)
      sandbox.state = 'stopped'
    })
  }

  async remove(id: string, signal?: AbortSignal): Promise<void> {
    await this.perform({ verb: 'remove', id, signal }, () => {
      this.sandboxes.delete(id)
    })
  }

  private async perform(
    call: { verb: StepVerb; id: string; signal: AbortSignal | undefined },
    act: () => void | Promise<void>,
  ): Promise<SandboxStatus> {
    const { verb, id, signal } = call
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
    this.traps.delete(point)
    if (trap === undefined) return
    trap.reach()
    await new Promise<void>((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      void trap.sprung.then(resolve)
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

  private statusOf(id: string): SandboxStatus {
    const sandbox = this.sandboxes.get(id)
    if (sandbox === undefined) throw new RunnerCallError(404, `Sandbox ${id} not found`)
    return { sandboxId: id, state: sandbox.state }
  }
}
