import { systemClock } from './clock.ts'
import type { TunnelClock, TunnelPeer } from './types.ts'

const MIN_WAIT_MS = 100

/** Longest wait between two attempts, in milliseconds; also for one that was refused and would be again. */
export const MAX_RECONNECT_WAIT_MS = 10_000

export interface KeepDialledOptions {
  /** One attempt: resolves a ready peer. Must heed the signal, and bound its own time, as `dialTunnel` does. */
  dial: (signal: AbortSignal) => Promise<TunnelPeer>
  /** A tunnel stands. Called once for each, before anything else can happen on it. */
  onPeer?: (peer: TunnelPeer) => void
  /** An attempt failed, or a tunnel ended; the next attempt comes in `retryInMs`. */
  onRetry?: (retry: DialRetry) => void
  /** Ends it all, like `stop`. */
  signal?: AbortSignal
  /** Bounds of the wait, in milliseconds. Default: 100 and 10 000. */
  minMs?: number
  maxMs?: number
  /** A number from 0 to 1 for each wait. Default: `Math.random`. */
  jitter?: () => number
  clock?: TunnelClock
}

export interface DialRetry {
  /** Why: `failed` if no tunnel came about, `ended` if one did and is over. */
  after: 'failed' | 'ended'
  error: Error
  /** How many attempts in a row have led to no tunnel that lived. */
  attempts: number
  retryInMs: number
}

/** A tunnel that is dialled again whenever it ends. */
export interface KeptDialled extends AsyncDisposable {
  /** The tunnel that stands now, if one does. */
  readonly peer: TunnelPeer | undefined
  /** Closes the tunnel, ends attempts and waits; resolves when nothing is left running. */
  stop(): Promise<void>
}

/**
 * Keeps a tunnel dialled. Every way to the next attempt is one of two: an attempt fails (unreachable, refused, late,
 * another version), or a tunnel ends (cut, silent, closed or drained by the other end, a broken rule). Either way it
 * waits for a random part of a bound that starts at `minMs` and doubles up to `maxMs`; the bound starts over after a
 * tunnel that stood for at least `maxMs`.
 */
export function keepDialled(options: KeepDialledOptions): KeptDialled {
  return new Dialler(options)
}

class Dialler implements KeptDialled {
  peer: TunnelPeer | undefined
  private readonly options: KeepDialledOptions
  private readonly clock: TunnelClock
  private readonly minMs: number
  private readonly maxMs: number
  private readonly stopper = new AbortController()
  private readonly done: Promise<void>
  private attempts = 0

  constructor(options: KeepDialledOptions) {
    this.options = options
    this.clock = options.clock ?? systemClock
    this.minMs = options.minMs ?? MIN_WAIT_MS
    this.maxMs = options.maxMs ?? MAX_RECONNECT_WAIT_MS
    options.signal?.addEventListener('abort', this.abort)
    if (options.signal?.aborted === true) this.abort()
    this.done = this.run()
  }

  async stop(): Promise<void> {
    this.abort()
    await this.done
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  private readonly abort = (): void => {
    this.stopper.abort()
    this.peer?.close('this end stops')
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const retry = await this.attempt()
      if (this.stopped) break
      const bound = Math.min(this.maxMs, this.minMs * 2 ** this.attempts)
      const retryInMs = (this.options.jitter ?? Math.random)() * bound
      this.attempts += 1
      this.options.onRetry?.({ ...retry, attempts: this.attempts, retryInMs })
      await this.wait(retryInMs)
    }
    this.options.signal?.removeEventListener('abort', this.abort)
  }

  /** Dials, and stays with the tunnel until it ends. */
  private async attempt(): Promise<Pick<DialRetry, 'after' | 'error'>> {
    let peer: TunnelPeer
    try {
      peer = await this.options.dial(this.stopper.signal)
    } catch (error) {
      return { after: 'failed', error: error instanceof Error ? error : new Error(String(error)) }
    }
    const since = this.clock.now()
    this.peer = peer
    if (this.stopped) peer.close('this end stops')
    else this.options.onPeer?.(peer)
    const error = await peer.whenClosed
    this.peer = undefined
    if (this.clock.now() - since >= this.maxMs) this.attempts = 0
    return { after: 'ended', error }
  }

  private get stopped(): boolean {
    return this.stopper.signal.aborted
  }

  private wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.stopper
      const finish = () => {
        cancel()
        signal.removeEventListener('abort', finish)
        resolve()
      }
      const cancel = this.clock.after(delayMs, finish)
      signal.addEventListener('abort', finish)
      if (signal.aborted) finish()
    })
  }
}
