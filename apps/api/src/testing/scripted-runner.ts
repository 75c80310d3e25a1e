import type { RunnerEvent, RunnerInfo, SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { RUNNER_TUNNEL_PATH } from '@atoll/protocol'
import type { IncomingExchange, TunnelPeer } from '@atoll/tunnel'
import { dialTunnel } from '@atoll/tunnel'
import type { ToolboxScript } from './scripted-toolbox.ts'
import { describeCall, dialToolbox } from './scripted-toolbox.ts'

export type RunnerVerb = 'make' | 'start' | 'stop' | 'remove' | 'status'

/** A sandbox on the test's runner: a toolbox that dials home stands for its processes. */
export interface ScriptedSandbox {
  spec: SandboxSpec | undefined
  env: Record<string, string>
  token: string | undefined
  state: 'running' | 'stopped'
  toolbox: TunnelPeer | undefined
}

/** One call that has arrived and waits. */
export interface Held {
  /** Resolves when the call is here. */
  reached: Promise<void>
  release(): void
}

const INFO: RunnerInfo = {
  ...{ version: '0.0.0', driver: 'scripted', runtime: 'none', limitations: [] },
  ...{ cpu: 64, memoryGiB: 1024, diskGiB: 10_000, snapshots: ['host'] },
}

/** A runner made of memory that speaks the real interface over a real tunnel. */
export class ScriptedRunner implements AsyncDisposable {
  readonly sandboxes = new Map<string, ScriptedSandbox>()
  /** Every call, as `start <id>`. */
  readonly calls: string[] = []
  info: RunnerInfo = INFO
  script: ToolboxScript = describeCall
  /** Whether a started sandbox's toolbox dials home. */
  toolboxDials = true
  private readonly url: string
  private readonly token: string
  private readonly holds = new Map<RunnerVerb, { reach: () => void; released: Promise<void> }>()
  private readonly failures: { verb: RunnerVerb; status: number; left: number }[] = []
  private readonly turns = new Map<string, Promise<unknown>>()
  private readonly eventStreams = new Set<IncomingExchange>()
  private peer: TunnelPeer | undefined

  constructor(options: { url: string; token: string }) {
    this.url = options.url
    this.token = options.token
  }

  async connect(): Promise<void> {
    this.peer = await dialTunnel({
      url: this.url.replace(/^http/, 'ws') + RUNNER_TUNNEL_PATH,
      headers: { authorization: `Bearer ${this.token}` },
      onRequest: (exchange) => this.receive(exchange),
    })
  }

  async disconnect(): Promise<void> {
    this.peer?.close('the test disconnects it')
    await this.peer?.whenClosed
    this.eventStreams.clear()
  }

  /** The next call of `verb` waits before anything is done. */
  hold(verb: RunnerVerb): Held {
    let reach: () => void = () => undefined
    let release: () => void = () => undefined
    const reached = new Promise<void>((resolve) => {
      reach = resolve
    })
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    this.holds.set(verb, { reach, released })
    return { reached, release }
  }

  /** The next `times` calls of `verb` fail with `status`. */
  fail(verb: RunnerVerb, status: number, times: number): void {
    this.failures.push({ verb, status, left: times })
  }

  /** Ends a sandbox as a crash does. */
  async crash(id: string, reason: string): Promise<void> {
    await this.halt(id)
    this.emit({ type: 'status', status: { sandboxId: id, state: 'stopped', reason } })
  }

  emit(event: RunnerEvent): void {
    this.emitText(`${JSON.stringify(event)}\n`)
  }

  /** Sends any text where events belong. */
  emitText(text: string): void {
    for (const stream of this.eventStreams) stream.write(Buffer.from(text))
  }

  get isConnected(): boolean {
    return this.peer?.closed === false
  }

  get(id: string): ScriptedSandbox {
    const sandbox = this.sandboxes.get(id)
    if (sandbox === undefined) throw new Error(`the runner has no sandbox ${id}`)
    return sandbox
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.sandboxes.keys()) await this.halt(id)
    await this.disconnect()
  }

  private receive(exchange: IncomingExchange): void {
    const chunks: Buffer[] = []
    exchange.handlers = {
      onData: (chunk) => chunks.push(Buffer.from(chunk)),
      onEnd: () => {
        if (exchange.head.path === '/events') this.openEvents(exchange)
        else this.answer(exchange, Buffer.concat(chunks).toString('utf8')).catch(() => exchange.reset('HANDLER_FAILED'))
      },
      onReset: () => this.eventStreams.delete(exchange),
    }
  }

  private openEvents(exchange: IncomingExchange): void {
    this.eventStreams.add(exchange)
    exchange.respond({ status: 200, headers: { 'content-type': 'application/x-ndjson' } })
    exchange.write(Buffer.from('{"type":"alive"}\n'))
  }

  private async answer(exchange: IncomingExchange, text: string): Promise<void> {
    const [status, body] = await this.perform(exchange.head.method, exchange.head.path, text)
    exchange.respond({ status, headers: { 'content-type': 'application/json' } })
    exchange.end(body === undefined ? undefined : Buffer.from(JSON.stringify(body)))
  }

  private async perform(method: string, path: string, text: string): Promise<[number, unknown?]> {
    if (path === '/info') return [200, this.info]
    if (path === '/ready') return [204]
    if (path === '/sandboxes') return [200, { items: [...this.sandboxes.keys()].map((id) => this.status(id)) }]
    const [, , id = '', action] = path.split('/')
    const verb = verbOf(method, action)
    this.calls.push(`${verb} ${id}`)
    if (verb === 'status') return await this.do(verb, id, text)
    // As runners do: one call for a sandbox at a time, in the order of arrival.
    const turn = (this.turns.get(id) ?? Promise.resolve()).then(() => this.do(verb, id, text))
    this.turns.set(
      id,
      turn.catch(() => undefined),
    )
    return await turn
  }

  private async do(verb: RunnerVerb, id: string, text: string): Promise<[number, unknown?]> {
    const hold = this.holds.get(verb)
    this.holds.delete(verb)
    hold?.reach()
    await hold?.released
    const failure = this.failures.find((planned) => planned.verb === verb && planned.left > 0)
    if (failure !== undefined) {
      failure.left -= 1
      return [failure.status, { message: `planned failure of ${verb}`, code: 'PLANNED' }]
    }
    return await this.act(verb, id, text === '' ? {} : JSON.parse(text))
  }

  private async act(verb: RunnerVerb, id: string, body: unknown): Promise<[number, unknown?]> {
    if (verb === 'remove') {
      await this.halt(id)
      this.sandboxes.delete(id)
      return [204]
    }
    if (verb === 'make') {
      const made = {
        spec: body as SandboxSpec,
        env: {},
        token: undefined,
        state: 'stopped',
        toolbox: undefined,
      } as const
      if (!this.sandboxes.has(id)) this.sandboxes.set(id, { ...made })
    }
    if (!this.sandboxes.has(id)) return [404, { message: `Sandbox ${id} not found`, code: 'SANDBOX_NOT_FOUND' }]
    if (verb === 'start') this.boot(id, body as { toolboxToken: string; env: Record<string, string> })
    if (verb === 'stop') await this.halt(id)
    return [200, this.status(id)]
  }

  private boot(id: string, { toolboxToken, env }: { toolboxToken: string; env: Record<string, string> }): void {
    const sandbox = this.get(id)
    if (sandbox.state === 'running') return
    Object.assign(sandbox, { state: 'running', token: toolboxToken, env })
    if (this.toolboxDials) this.dial(id).catch(() => undefined)
  }

  /** Dials home (again) for a running sandbox. */
  async dial(id: string): Promise<TunnelPeer> {
    const sandbox = this.get(id)
    const script: ToolboxScript = (exchange, sandboxId) => this.script(exchange, sandboxId)
    const peer = await dialToolbox({ url: this.url, sandboxId: id, token: sandbox.token ?? '', script })
    if (sandbox.state === 'stopped') peer.close()
    sandbox.toolbox = peer
    return peer
  }

  private async halt(id: string): Promise<void> {
    const sandbox = this.sandboxes.get(id)
    if (sandbox === undefined) return
    sandbox.state = 'stopped'
    sandbox.toolbox?.close()
    await sandbox.toolbox?.whenClosed
    sandbox.toolbox = undefined
  }

  private status(id: string): SandboxStatus {
    return { sandboxId: id, state: this.get(id).state }
  }
}

function verbOf(method: string, action: string | undefined): RunnerVerb {
  if (method === 'PUT') return 'make'
  if (method === 'DELETE') return 'remove'
  if (method === 'GET') return 'status'
  return action === 'start' ? 'start' : 'stop'
}
