import type { TunnelPeer } from '@atoll/tunnel'
import type { LinkEvent, LinkState } from './link-states.ts'
import { linkTransitions } from './link-states.ts'

/** The sandbox of a toolbox's link, and the start that it belongs to. */
export interface ToolboxLink {
  sandboxId: string
  /** The hash of its token: each start of a sandbox has its own token. */
  tokenHash: string
}

/** A toolbox that has dialled home. */
export interface ToolboxConnection extends ToolboxLink {
  peer: TunnelPeer
  /** The order in which connections asked to be admitted: an older, slow one must not replace a newer one. */
  sequence: number
}

/** The toolboxes that are connected to this replica. */
export interface ToolboxTunnels {
  /** Returns the live link of a sandbox's toolbox. */
  get(sandboxId: string): TunnelPeer | undefined
  /** Resolves when the toolbox with this token is connected; rejects with the signal's reason. */
  whenConnected(sandboxId: string, tokenHash: string, signal: AbortSignal): Promise<void>
  /** Closes the link of a sandbox that must not have one. */
  disconnect(sandboxId: string, reason: string): void
}

export interface TunnelRegistry extends ToolboxTunnels {
  /** Adds a link whose handshake is done, and closes an older link of the same sandbox. */
  add(connection: ToolboxConnection): void
  /** Whether a caller waits for the toolbox with this token. */
  expects(tokenHash: string): boolean
  /** Returns all links, or the link of one sandbox. */
  connected(sandboxId?: string): ToolboxLink[]
  /** Closes the link that was opened with this token, and no other. */
  disconnectToken(link: ToolboxLink, reason: string): void
  /** Returns the sandboxes with an open call or stream. */
  busyIds(): string[]
  /** Whether a sandbox has an open call or stream. */
  isBusy(sandboxId: string): boolean
  /** The number of connected toolboxes. */
  readonly size: number
  /** Closes every link. */
  close(): void
}

/** A connection after its handshake. */
interface Link {
  readonly connection: ToolboxConnection
  state: LinkState
  /** When it came to this state, by the clock that only goes on; in milliseconds. */
  since: number
}

/** A change of a link, with how long the state before it lasted, in milliseconds. */
export interface LinkChange {
  sandboxId: string
  event: LinkEvent
  from: LinkState
  to: LinkState
  durationMs: number
  /** Why it was dismissed. */
  reason?: string | undefined
}

interface Waiter {
  tokenHash: string
  resolve: () => void
}

/** `onChange` is told of every change of a link after its handshake. */
export function createTunnelRegistry(onChange: (change: LinkChange) => void = () => undefined): TunnelRegistry {
  return new Registry(onChange)
}

class Registry implements TunnelRegistry {
  /** The current links, by sandbox. */
  private readonly links = new Map<string, Link>()
  private readonly waiters = new Map<string, Set<Waiter>>()
  private readonly expected = new Map<string, number>()
  private readonly onChange: (change: LinkChange) => void

  constructor(onChange: (change: LinkChange) => void) {
    this.onChange = onChange
  }

  get size(): number {
    return this.links.size
  }

  get(sandboxId: string): TunnelPeer | undefined {
    return this.links.get(sandboxId)?.connection.peer
  }

  busyIds(): string[] {
    const busy = [...this.links.values()].filter(({ connection }) => connection.peer.openStreams > 0)
    return busy.map(({ connection }) => connection.sandboxId)
  }

  isBusy(sandboxId: string): boolean {
    return (this.get(sandboxId)?.openStreams ?? 0) > 0
  }

  connected(sandboxId?: string): ToolboxLink[] {
    if (sandboxId === undefined) return [...this.links.values()].map(({ connection }) => connection)
    const link = this.links.get(sandboxId)
    return link === undefined ? [] : [link.connection]
  }

  disconnectToken({ sandboxId, tokenHash }: ToolboxLink, reason: string): void {
    if (this.links.get(sandboxId)?.connection.tokenHash === tokenHash) this.disconnect(sandboxId, reason)
  }

  expects(tokenHash: string): boolean {
    return this.expected.has(tokenHash)
  }

  add(connection: ToolboxConnection): void {
    const { sandboxId, peer } = connection
    const link: Link = { connection, state: 'greeting', since: performance.now() }
    void peer.whenClosed.then(() => this.apply(link, 'end'))
    const older = this.links.get(sandboxId)
    if (older !== undefined && older.connection.sequence > connection.sequence) {
      this.apply(link, 'outdated', 'a newer connection of this toolbox is open')
      return
    }
    this.apply(link, 'greeted')
    if (older !== undefined) this.apply(older, 'replace', 'replaced by a newer connection')
    for (const waiter of this.waiters.get(sandboxId) ?? []) {
      if (waiter.tokenHash === connection.tokenHash) waiter.resolve()
    }
  }

  /**
   * Changes the state of a link, and is the only function that does. The map holds the current links; a dismissed link
   * is closed.
   */
  private apply(link: Link, event: LinkEvent, reason?: string): void {
    const { sandboxId, peer } = link.connection
    const { state: from, since } = link
    const to = linkTransitions[from][event]
    if (to === from) return
    link.state = to
    link.since = performance.now()
    this.onChange({ sandboxId, event, from, to, durationMs: Math.round(link.since - since), reason })
    if (link.state === 'current') this.links.set(sandboxId, link)
    else if (this.links.get(sandboxId) === link) this.links.delete(sandboxId)
    if (link.state === 'dismissed') peer.close(reason)
  }

  async whenConnected(sandboxId: string, tokenHash: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const current = this.links.get(sandboxId)?.connection
    if (current?.tokenHash === tokenHash && !current.peer.closed) return
    let forget: () => void = () => undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const fail = () => reject(signal.reason)
        signal.addEventListener('abort', fail, { once: true })
        const stopWaiting = this.wait(sandboxId, { tokenHash, resolve })
        forget = () => {
          signal.removeEventListener('abort', fail)
          stopWaiting()
        }
      })
    } finally {
      forget()
    }
  }

  disconnect(sandboxId: string, reason: string): void {
    const link = this.links.get(sandboxId)
    if (link !== undefined) this.apply(link, 'disconnect', reason)
  }

  close(): void {
    for (const sandboxId of [...this.links.keys()]) this.disconnect(sandboxId, 'the control plane is shutting down')
  }

  private wait(sandboxId: string, waiter: Waiter): () => void {
    const waiters = this.waiters.get(sandboxId) ?? new Set()
    waiters.add(waiter)
    this.waiters.set(sandboxId, waiters)
    this.expected.set(waiter.tokenHash, (this.expected.get(waiter.tokenHash) ?? 0) + 1)
    return () => {
      waiters.delete(waiter)
      if (waiters.size === 0) this.waiters.delete(sandboxId)
      const left = (this.expected.get(waiter.tokenHash) ?? 1) - 1
      if (left === 0) this.expected.delete(waiter.tokenHash)
      else this.expected.set(waiter.tokenHash, left)
    }
  }
}
