import type { TunnelPeer } from '@atoll/tunnel'

/** A toolbox that has dialled home. */
export interface ToolboxConnection {
  sandboxId: string
  /** Of the token it brought: each start of a sandbox has its own. */
  tokenHash: string
  peer: TunnelPeer
  /** Order in which connections were let in: an older one that is slow must not replace a newer one. */
  sequence: number
}

/** The toolboxes connected to this replica. */
export interface ToolboxTunnels {
  /** The live link of a sandbox's toolbox. */
  get(sandboxId: string): TunnelPeer | undefined
  /** Resolves once the toolbox with this token is connected; rejects with the signal's reason. */
  whenConnected(sandboxId: string, tokenHash: string, signal: AbortSignal): Promise<void>
  /** Ends the link of a sandbox that shall not have one. */
  disconnect(sandboxId: string, reason: string): void
}

export interface TunnelRegistry extends ToolboxTunnels {
  /** Takes a link whose handshake is done. It replaces an older one, which is closed. */
  add(connection: ToolboxConnection): void
  /** Whether someone waits for the toolbox with this token. */
  expects(tokenHash: string): boolean
  /** Toolboxes connected now. */
  readonly size: number
  /** Ends every link. */
  close(): void
}

interface Waiter {
  tokenHash: string
  resolve: () => void
}

export function createTunnelRegistry(): TunnelRegistry {
  return new Registry()
}

class Registry implements TunnelRegistry {
  private readonly connections = new Map<string, ToolboxConnection>()
  private readonly waiters = new Map<string, Set<Waiter>>()
  private readonly expected = new Map<string, number>()

  get size(): number {
    return this.connections.size
  }

  get(sandboxId: string): TunnelPeer | undefined {
    return this.connections.get(sandboxId)?.peer
  }

  expects(tokenHash: string): boolean {
    return this.expected.has(tokenHash)
  }

  add(connection: ToolboxConnection): void {
    const { sandboxId, peer } = connection
    const current = this.connections.get(sandboxId)
    if (current !== undefined && current.sequence > connection.sequence) {
      peer.close('a newer connection of this toolbox is open')
      return
    }
    this.connections.set(sandboxId, connection)
    current?.peer.close('replaced by a newer connection')
    void peer.whenClosed.then(() => {
      if (this.connections.get(sandboxId) === connection) this.connections.delete(sandboxId)
    })
    for (const waiter of this.waiters.get(sandboxId) ?? []) {
      if (waiter.tokenHash === connection.tokenHash) waiter.resolve()
    }
  }

  async whenConnected(sandboxId: string, tokenHash: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const current = this.connections.get(sandboxId)
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
    const current = this.connections.get(sandboxId)
    this.connections.delete(sandboxId)
    current?.peer.close(reason)
  }

  close(): void {
    for (const sandboxId of [...this.connections.keys()])
      this.disconnect(sandboxId, 'the control plane is shutting down')
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
