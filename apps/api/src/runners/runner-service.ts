import { createHash } from 'node:crypto'
import { DEFAULT_TARGET } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import type { Queryable } from '../database/database.ts'
import type { PlacementCandidate } from './placement.ts'
import type { RunnerClient } from './runner-client.ts'
import type { ConnectedRunner, RunnerObserver } from './runner-session.ts'
import { runSession, SILENCE_LIMIT_MS } from './runner-session.ts'
import { lockLost, RUNNER_LOST_AFTER_MS, silenceAt } from './runner-silence.ts'
import type { CandidateFilter, RunnerStore } from './runner-store.ts'

/** The name of the runner on the control plane's own host. */
export const LOCAL_RUNNER_NAME = 'local'

export interface RunnerServiceOptions {
  store: RunnerStore
  observer: RunnerObserver
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** The silence after which a runner is lost, in milliseconds. */
  lostAfterMs?: number
}

/** The region and class of the runners that may take a new sandbox. */
export type NewSandboxFilter = Required<Pick<CandidateFilter, 'region' | 'class'>>

/** Authenticates runners, keeps the links of those connected here, and locks them for placement. Disposing ends the links. */
export interface RunnerService extends AsyncDisposable {
  /** Makes sure that the runner of this host may connect with `token`. */
  ensureLocalRunner(token: string): Promise<void>
  /** Returns the runner that has the token with this SHA-256. */
  authenticate(tokenHash: string): Promise<{ id: string; name: string } | undefined>
  /** Takes over a link of `runner` after its handshake; an older link of the same runner is closed. */
  attach(runner: { id: string; name: string }, peer: TunnelPeer): void
  /** Returns the ids of the runners that this replica can call now. */
  readyIds(): string[]
  client(runnerId: string): RunnerClient | undefined
  /** Calls `handler` whenever a runner has become ready. */
  onReady(handler: () => void): void
  /** Returns the runners of a region that take new sandboxes, locked for the rest of the transaction. */
  lockCandidates(tx: Queryable, filter: NewSandboxFilter): Promise<PlacementCandidate[]>
  /** Returns one runner, locked; undefined if it is not connected. */
  lockOne(tx: Queryable, id: string): Promise<PlacementCandidate | undefined>
  /** Returns whether a runner is lost, and then keeps it so until the transaction ends. Call it before locking another runner. */
  lockLost(tx: Queryable, id: string): Promise<boolean>
}

export function createRunnerService(options: RunnerServiceOptions): RunnerService {
  return new Runners(options)
}

class Runners implements RunnerService {
  private readonly options: RunnerServiceOptions
  private readonly links = new Map<string, TunnelPeer>()
  private readonly ready = new Map<string, ConnectedRunner>()
  private readonly sessions = new Set<Promise<void>>()
  private readonly readyHandlers: (() => void)[] = []

  constructor(options: RunnerServiceOptions) {
    this.options = options
  }

  async ensureLocalRunner(token: string): Promise<void> {
    const tokenHash = createHash('sha256').update(token).digest('hex')
    await this.options.store.ensure({ name: LOCAL_RUNNER_NAME, tokenHash, region: DEFAULT_TARGET })
  }

  authenticate(tokenHash: string): Promise<{ id: string; name: string } | undefined> {
    return this.options.store.findByToken(tokenHash)
  }

  attach(runner: { id: string; name: string }, peer: TunnelPeer): void {
    const older = this.links.get(runner.id)
    this.links.set(runner.id, peer)
    this.ready.delete(runner.id)
    older?.close('replaced by a newer connection')
    void peer.whenClosed.then(() => {
      if (this.links.get(runner.id) !== peer) return
      this.links.delete(runner.id)
      this.ready.delete(runner.id)
    })
    const session = this.run(runner, peer).finally(() => this.sessions.delete(session))
    this.sessions.add(session)
  }

  readyIds(): string[] {
    return [...this.ready.keys()]
  }

  client(runnerId: string): RunnerClient | undefined {
    return this.ready.get(runnerId)?.client
  }

  onReady(handler: () => void): void {
    this.readyHandlers.push(handler)
  }

  lockCandidates(tx: Queryable, filter: NewSandboxFilter): Promise<PlacementCandidate[]> {
    return this.options.store.lockCandidates(tx, { ...filter, seenAfter: this.seenAfter() })
  }

  async lockOne(tx: Queryable, id: string): Promise<PlacementCandidate | undefined> {
    const [runner] = await this.options.store.lockCandidates(tx, { id, seenAfter: this.seenAfter() })
    return runner
  }

  lockLost(tx: Queryable, id: string): Promise<boolean> {
    const { now, lostAfterMs = RUNNER_LOST_AFTER_MS } = this.options
    return lockLost(tx, id, silenceAt(now(), lostAfterMs))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.links.values()) peer.close('the control plane is shutting down')
    while (this.sessions.size > 0) await Promise.all(this.sessions)
  }

  private async run(runner: { id: string; name: string }, peer: TunnelPeer): Promise<void> {
    const { store, observer, log, now } = this.options
    try {
      await runSession({
        ...{ runner, peer, store, observer, log, now },
        onReady: (connected, info) => {
          if (this.links.get(runner.id) !== peer) return
          this.ready.set(runner.id, connected)
          const { driver, runtime, limitations } = info
          log.info({ runner: runner.name, driver, runtime, limitations }, 'a runner is ready')
          for (const handler of this.readyHandlers) handler()
        },
      })
    } catch (error) {
      log.error({ err: error, runner: runner.name }, 'the end of a runner could not be written down')
    }
    log.info({ runner: runner.name }, 'a runner is gone')
  }

  private seenAfter(): Date {
    return new Date(this.options.now() - SILENCE_LIMIT_MS)
  }
}
