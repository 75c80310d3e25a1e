import type { MakeSnapshot, RunnerEvent, RunnerSnapshot } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'

/** A snapshot on the test's runner. */
export interface ScriptedSnapshot {
  snapshot: RunnerSnapshot
  source: MakeSnapshot['source'] | undefined
  maxSizeGiB: number | undefined
  content: Buffer | undefined
  log: string
}

type Answered = [number, unknown?]

const NO_IMAGE = { entrypoint: [], cmd: [], env: {}, workDir: '', user: '' }
const GIB_OF_ALL = 0.5

/** The snapshots and volumes of a runner in memory, as docs/spec/runner-snapshots.md has them. */
export class ScriptedHoldings {
  readonly snapshots = new Map<string, ScriptedSnapshot>()
  readonly volumes = new Set<string>()
  /** Every call, as `make <ref>`. */
  readonly calls: string[] = []
  /** Whether a new snapshot becomes active by itself, at once. */
  finishes = true
  /** Whether a sandbox has the ref, which is then not removed. */
  isInUse: (ref: string) => boolean = () => false
  /** Refusals by verb: every call of that verb is refused with it. */
  readonly refusals = new Map<string, { status: number; code: string; message: string }>()
  private readonly emit: (event: RunnerEvent) => void
  private readonly followers = new Set<{ ref: string; exchange: IncomingExchange }>()

  constructor(emit: (event: RunnerEvent) => void) {
    this.emit = emit
    const host = this.add('host', undefined)
    host.snapshot = { ...host.snapshot, state: 'active', kind: 'builtin' }
  }

  isActive(ref: string): boolean {
    return this.snapshots.get(ref)?.snapshot.state === 'active'
  }

  /** Returns the snapshots that were asked for, in that order. */
  get made(): ScriptedSnapshot[] {
    return [...this.snapshots.values()].filter(({ source }) => source !== undefined)
  }

  get(ref: string): ScriptedSnapshot {
    const found = this.snapshots.get(ref)
    if (found === undefined) throw new Error(`the runner has no snapshot ${ref}`)
    return found
  }

  /** Moves a snapshot to `state`, and sends the event. */
  advance(ref: string, state: RunnerSnapshot['state'], reason?: string): void {
    const held = this.get(ref)
    const size = state === 'active' ? { sizeGiB: GIB_OF_ALL, users: ['daytona', 'root'] } : {}
    held.snapshot = {
      ...held.snapshot,
      state,
      needsContent: false,
      ...size,
      ...(reason === undefined ? {} : { reason }),
    }
    this.emit({ type: 'snapshot', snapshot: held.snapshot })
    if (state === 'active' || state === 'error') this.endLogs(ref)
  }

  /** Appends text to a log, and sends it to followers. */
  print(ref: string, text: string): void {
    this.get(ref).log += text
    for (const follower of this.followers) if (follower.ref === ref) follower.exchange.write(Buffer.from(text))
  }

  /** Answers a streamed call; returns false for any other. */
  stream(exchange: IncomingExchange): boolean {
    const match = /^\/snapshots\/([^/?]+)\/(log|export)(\?follow=(true|false))?$/.exec(exchange.head.path)
    if (exchange.head.method !== 'GET' || match === null) return false
    const [, ref = '', kind, , follow] = match
    this.calls.push(`${kind} ${ref}`)
    const held = this.snapshots.get(ref)
    if (held === undefined) {
      exchange.respond({ status: 400, headers: {} })
      exchange.end(Buffer.from(JSON.stringify({ message: 'not found', code: 'SNAPSHOT_NOT_FOUND' })))
      return true
    }
    exchange.respond({ status: 200, headers: {} })
    exchange.write(Buffer.from(kind === 'log' ? held.log : `export of ${ref}`))
    const isOver = held.snapshot.state === 'active' || held.snapshot.state === 'error'
    if (kind === 'export' || follow !== 'true' || isOver) exchange.end()
    else this.followers.add({ ref, exchange })
    return true
  }

  /** Answers any other call below /snapshots and /volumes. */
  perform(method: string, path: string, body: Buffer): Answered {
    const [, what, id = '', action] = path.split('/')
    const verb = verbOf(method, action)
    if (id !== '') this.calls.push(`${verb} ${what === 'volumes' ? 'volume ' : ''}${id}`)
    const refusal = this.refusals.get(verb)
    if (refusal !== undefined && id !== '') return [refusal.status, refusal]
    if (what === 'volumes') return this.volume(verb, id)
    if (id === '') return [200, { items: [...this.snapshots.values()].map(({ snapshot }) => snapshot) }]
    return this.snapshot(verb, id, body)
  }

  private volume(verb: string, id: string): Answered {
    if (id === '') return [200, { items: [...this.volumes].map((volumeId) => ({ volumeId, sizeGiB: 10, usedGiB: 0 })) }]
    if (verb === 'make') this.volumes.add(id)
    if (verb !== 'remove') return [200, { volumeId: id, sizeGiB: 10, usedGiB: 0 }]
    this.volumes.delete(id)
    return [204]
  }

  private snapshot(verb: string, ref: string, body: Buffer): Answered {
    if (verb === 'remove') {
      if (this.isInUse(ref)) return [409, { message: 'in use', code: 'SNAPSHOT_IN_USE' }]
      this.snapshots.delete(ref)
      return [204]
    }
    if (verb === 'make') return this.make(ref, JSON.parse(body.toString('utf8')))
    const held = this.snapshots.get(ref)
    if (held === undefined) return [400, { message: 'Snapshot not found', code: 'SNAPSHOT_NOT_FOUND' }]
    if (verb === 'content' && held.snapshot.needsContent) {
      held.content = body
      held.snapshot = { ...held.snapshot, needsContent: false, state: 'pulling' }
      if (this.finishes) this.advance(ref, 'active')
    }
    return [200, held.snapshot]
  }

  private make(ref: string, { source, maxSizeGiB }: MakeSnapshot): Answered {
    const existing = this.snapshots.get(ref)
    if (existing !== undefined) return [200, existing.snapshot]
    const held = this.add(ref, source)
    held.maxSizeGiB = maxSizeGiB
    if (this.finishes && !held.snapshot.needsContent) this.advance(ref, 'active')
    return [200, held.snapshot]
  }

  private add(ref: string, source: MakeSnapshot['source'] | undefined): ScriptedSnapshot {
    const kind = source?.kind ?? 'builtin'
    const needsContent = kind === 'archive' || kind === 'import' || (source?.kind === 'build' && source.hasContext)
    const snapshot: RunnerSnapshot = {
      ...{ ref, kind, needsContent, state: 'pending', sizeGiB: 0, image: NO_IMAGE, users: [] },
    }
    const held: ScriptedSnapshot = {
      snapshot,
      source,
      maxSizeGiB: undefined,
      content: undefined,
      log: `making ${kind}\n`,
    }
    this.snapshots.set(ref, held)
    return held
  }

  private endLogs(ref: string): void {
    for (const follower of this.followers) {
      if (follower.ref !== ref) continue
      this.followers.delete(follower)
      follower.exchange.end()
    }
  }
}

function verbOf(method: string, action: string | undefined): string {
  if (action === 'content') return 'content'
  if (method === 'PUT') return 'make'
  return method === 'DELETE' ? 'remove' : 'get'
}
