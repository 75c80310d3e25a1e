import type {
  LaunchSandbox,
  NetworkRules,
  ResizeSandbox,
  RunnerEvent,
  RunnerInfo,
  SandboxSpec,
  SandboxStatus,
  StartSandbox,
  StopSandbox,
  ToolboxClaim,
  UnpackArchive,
} from '@atoll/protocol'
import { CLAIM_METHOD, RUNNER_TUNNEL_PATH } from '@atoll/protocol'
import type { IncomingExchange, TunnelPeer } from '@atoll/tunnel'
import { dialTunnel } from '@atoll/tunnel'
import { MemoryArchives } from './memory-archives.ts'
import { ScriptedHoldings } from './scripted-holdings.ts'
import type { ToolboxScript } from './scripted-toolbox.ts'
import { describeCall, dialToolbox } from './scripted-toolbox.ts'

export type RunnerVerb = 'make' | 'start' | 'stop' | 'resize' | 'network' | 'export' | 'import' | 'remove' | 'status'

/** A sandbox on the test's runner: a toolbox that dials home stands for its processes. */
export interface ScriptedSandbox {
  spec: SandboxSpec | undefined
  env: Record<string, string>
  /** Whether its toolbox answers nothing until it is claimed. */
  awaitsClaim: boolean
  /** The environment of each claim that it was sent. */
  claims: Record<string, string>[]
  token: string | undefined
  state: 'running' | 'stopped'
  toolbox: TunnelPeer | undefined
  /** Bytes that stand for the files it changed. */
  files: Buffer
  /** The time that the last stop allowed its processes, in milliseconds. */
  graceMs: number | undefined
}

/** One call that has arrived and waits. */
export interface Held {
  /** Resolves when the call has arrived. */
  reached: Promise<void>
  release(): void
}

/** The input of a call. */
interface Given {
  text: string
  /** Empty when the call names no archive. */
  archiveId: string
}

/** The interval of `alive` events in milliseconds, the same as a real runner's. */
const ALIVE_INTERVAL_MS = 10_000

const able = { available: true }

const INFO: RunnerInfo = {
  ...{ version: '0.0.0', driver: 'scripted', runtime: 'none', limitations: [] },
  ...{ cpu: 64, memoryGiB: 1024, diskGiB: 10_000, snapshots: ['host'] },
  abilities: { images: able, builds: able, directories: able, zstd: able, quotas: able, network: able, claims: able },
}

/** A runner in memory that speaks the real interface over a real tunnel. */
export class ScriptedRunner implements AsyncDisposable {
  readonly sandboxes = new Map<string, ScriptedSandbox>()
  readonly archived = new MemoryArchives()
  /** Its snapshots and volumes. */
  readonly holdings = new ScriptedHoldings((event) => this.emit(event))
  /** Every call, as `start <id>`. */
  readonly calls: string[] = []
  info: RunnerInfo = INFO
  script: ToolboxScript = describeCall
  /** A promise that toolboxes await before they take a claim. */
  claimsHeld: Promise<void> | undefined
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
    const peer = await dialTunnel({
      url: this.url.replace(/^http/, 'ws') + RUNNER_TUNNEL_PATH,
      headers: { authorization: `Bearer ${this.token}` },
      onRequest: (exchange) => this.receive(exchange),
    })
    this.peer = peer
    // The tests of a file share a runner, and on a busy machine they take longer than a silent runner is kept.
    const timer = setInterval(() => this.emit({ type: 'alive' }), ALIVE_INTERVAL_MS)
    void peer.whenClosed.then(() => clearInterval(timer))
  }

  async disconnect(): Promise<void> {
    this.peer?.close('the test disconnects it')
    await this.peer?.whenClosed
    this.eventStreams.clear()
  }

  /** Holds the next call of `verb` before anything is done. */
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

  /** Makes the next `times` calls of `verb` fail with `status`. */
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

  /** Sends any text on the event streams. */
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
        else if (this.holdings.stream(exchange)) return
        else this.answer(exchange, Buffer.concat(chunks)).catch(() => exchange.reset('HANDLER_FAILED'))
      },
      onReset: () => this.eventStreams.delete(exchange),
    }
  }

  private openEvents(exchange: IncomingExchange): void {
    this.eventStreams.add(exchange)
    exchange.respond({ status: 200, headers: { 'content-type': 'application/x-ndjson' } })
    exchange.write(Buffer.from('{"type":"alive"}\n'))
  }

  private async answer(exchange: IncomingExchange, bytes: Buffer): Promise<void> {
    const { method, path } = exchange.head
    // The bytes of an archive may be no text.
    const isArchive = method === 'PUT' && path.includes('/incoming?')
    const text = bytes.toString(isArchive ? 'latin1' : 'utf8')
    const isHolding = path.startsWith('/snapshots') || path.startsWith('/volumes')
    const [status, body] = isHolding
      ? this.holdings.perform(method, path, bytes)
      : await this.perform(method, path, text)
    exchange.respond({ status, headers: { 'content-type': 'application/json' } })
    if (Buffer.isBuffer(body)) exchange.end(body)
    else exchange.end(body === undefined ? undefined : Buffer.from(JSON.stringify(body)))
  }

  private async perform(method: string, path: string, text: string): Promise<[number, unknown?]> {
    if (path === '/info') return [200, this.info]
    if (path === '/ready') return [204]
    if (path === '/sandboxes') return [200, { items: [...this.sandboxes.keys()].map((id) => this.status(id)) }]
    const [place = '', query] = path.split('?')
    const [, , id = '', action] = place.split('/')
    const parameters = new URLSearchParams(query)
    const moved = this.moveArchive(`${method} ${action}`, id, { query: parameters, text })
    if (moved !== undefined) return moved
    const given = { text, archiveId: parameters.get('archive') ?? '' }
    const verb = verbOf(method, action)
    if (action !== 'launch') this.calls.push(`${verb} ${id}`)
    if (verb === 'status') return await this.do(verb, id, given)
    // A runner does one call for a sandbox at a time, in the order of arrival.
    const act = () => (action === 'launch' ? this.launch(id, text) : this.do(verb, id, given))
    const turn = (this.turns.get(id) ?? Promise.resolve()).then(act)
    this.turns.set(
      id,
      turn.catch(() => undefined),
    )
    return await turn
  }

  /** Answers the calls between packing and unpacking an archive; returns undefined for other calls. */
  private moveArchive(
    call: string,
    id: string,
    { query, text }: { query: URLSearchParams; text: string },
  ): [number, unknown?] | undefined {
    const archiveId = query.get('archive') ?? ''
    const from = Number(query.get('from'))
    switch (call) {
      case 'GET outgoing':
        return [200, this.archived.read(id, archiveId, { from, bytes: Number(query.get('bytes')) })]
      case 'DELETE outgoing':
        this.archived.discard(id, archiveId)
        return [204]
      case 'GET incoming':
        return [200, this.archived.arrived(id, archiveId)]
      case 'PUT incoming':
        return [200, this.archived.receive(id, archiveId, { from, content: Buffer.from(text, 'latin1') })]
      default:
        return undefined
    }
  }

  /** Does the calls `make` and `start`, one after the other. */
  private async launch(id: string, text: string): Promise<[number, unknown?]> {
    const { spec, start } = JSON.parse(text) as LaunchSandbox
    this.calls.push(`make ${id}`)
    const made = await this.do('make', id, { text: JSON.stringify(spec), archiveId: '' })
    if (made[0] !== 200) return made
    this.calls.push(`start ${id}`)
    return await this.do('start', id, { text: JSON.stringify(start), archiveId: '' })
  }

  private async do(verb: RunnerVerb, id: string, given: Given): Promise<[number, unknown?]> {
    const hold = this.holds.get(verb)
    this.holds.delete(verb)
    hold?.reach()
    await hold?.released
    const failure = this.failures.find((planned) => planned.verb === verb && planned.left > 0)
    if (failure !== undefined) {
      failure.left -= 1
      return [failure.status, { message: `planned failure of ${verb}`, code: 'PLANNED' }]
    }
    return await this.act(verb, id, given)
  }

  private async act(verb: RunnerVerb, id: string, { text, archiveId }: Given): Promise<[number, unknown?]> {
    const body: unknown = text === '' ? {} : JSON.parse(text)
    if (verb === 'remove') {
      await this.halt(id)
      this.sandboxes.delete(id)
      this.archived.forget(id)
      return [204]
    }
    if (verb === 'make' && !this.holdings.isActive((body as SandboxSpec).snapshot)) {
      return [400, { message: 'Snapshot not found', code: 'SNAPSHOT_NOT_FOUND' }]
    }
    const { forkOf } = body as Partial<SandboxSpec>
    const parent = forkOf === undefined ? undefined : this.sandboxes.get(forkOf)
    if (verb === 'make' && forkOf !== undefined && parent === undefined && !this.sandboxes.has(id)) {
      return [404, { message: `there is no sandbox ${forkOf} on this runner`, code: 'SANDBOX_NOT_FOUND' }]
    }
    if (verb === 'make') {
      const made = {
        spec: body as SandboxSpec,
        env: {},
        awaitsClaim: false,
        token: undefined,
        state: 'stopped',
        toolbox: undefined,
        files: parent?.files ?? Buffer.alloc(0),
        graceMs: undefined,
      } as const
      if (!this.sandboxes.has(id)) this.sandboxes.set(id, { ...made, claims: [] })
    }
    if (!this.sandboxes.has(id)) return [404, { message: `Sandbox ${id} not found`, code: 'SANDBOX_NOT_FOUND' }]
    if (verb === 'start') this.boot(id, body as StartSandbox)
    if (verb === 'stop') {
      this.get(id).graceMs = (body as StopSandbox).graceMs
      await this.halt(id)
    }
    if (verb === 'resize') this.resize(id, body as ResizeSandbox)
    if (verb === 'network') this.setNetwork(id, body as NetworkRules)
    if (verb === 'export') return [200, this.archived.stage(id, archiveId, this.get(id).files)]
    if (verb === 'import') {
      this.get(id).files = this.archived.unpack(id, archiveId, body as UnpackArchive) ?? this.get(id).files
    }
    return [200, this.status(id)]
  }

  private resize(id: string, body: ResizeSandbox): void {
    const { spec } = this.get(id)
    if (spec !== undefined) Object.assign(spec.limits, body)
  }

  private setNetwork(id: string, rules: NetworkRules): void {
    const { spec } = this.get(id)
    if (spec !== undefined) spec.networkRules = rules
  }

  private boot(id: string, { toolboxToken, env, awaitsClaim = false, networkRules }: StartSandbox): void {
    const sandbox = this.get(id)
    if (networkRules !== undefined) this.setNetwork(id, networkRules)
    if (sandbox.state === 'running') return
    Object.assign(sandbox, { state: 'running', token: toolboxToken, env, awaitsClaim, claims: [] })
    if (this.toolboxDials) this.dial(id).catch(() => undefined)
  }

  /** Dials home (again) for a running sandbox. */
  async dial(id: string): Promise<TunnelPeer> {
    const sandbox = this.get(id)
    const script: ToolboxScript = (exchange, sandboxId) => {
      if (exchange.head.method === CLAIM_METHOD) this.takeClaim(exchange, sandbox)
      else if (sandbox.awaitsClaim) refuseUnclaimed(exchange)
      else this.script(exchange, sandboxId)
    }
    const peer = await dialToolbox({ url: this.url, sandboxId: id, token: sandbox.token ?? '', script })
    if (sandbox.state === 'stopped') peer.close()
    sandbox.toolbox = peer
    return peer
  }

  /** Takes a claim. Only the first one counts, as with a real toolbox. */
  private takeClaim(exchange: IncomingExchange, sandbox: ScriptedSandbox): void {
    const chunks: Buffer[] = []
    const answer = async () => {
      const claim = JSON.parse(Buffer.concat(chunks).toString('utf8')) as ToolboxClaim
      await this.claimsHeld
      sandbox.claims.push(claim.env)
      if (sandbox.awaitsClaim) Object.assign(sandbox.env, claim.env)
      sandbox.awaitsClaim = false
      exchange.respond({ status: 204, headers: {} })
      exchange.end()
    }
    exchange.handlers = {
      onData: (chunk) => chunks.push(Buffer.from(chunk)),
      onEnd: () => void answer(),
      onReset: () => undefined,
    }
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

function refuseUnclaimed(exchange: IncomingExchange): void {
  exchange.handlers = { onData: () => undefined, onEnd: () => undefined, onReset: () => undefined }
  exchange.respond({ status: 503, headers: { 'content-type': 'application/json' } })
  exchange.end(Buffer.from('{"message":"not claimed"}'))
}

function verbOf(method: string, action: string | undefined): RunnerVerb {
  if (method === 'DELETE') return 'remove'
  if (method === 'GET') return 'status'
  if (method === 'PUT') return action === 'outgoing' ? 'export' : action === 'network' ? 'network' : 'make'
  if (action === 'incoming') return 'import'
  return action === 'start' || action === 'resize' ? action : 'stop'
}
