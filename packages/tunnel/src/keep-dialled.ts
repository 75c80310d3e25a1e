import { systemClock } from './clock.ts'
import type { DialEvent, DialState } from './dial-states.ts'
import { dialTransitions, waitBound } from './dial-states.ts'
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
  readonly state: DialState
  /** Closes the tunnel, ends attempts and waits; resolves when nothing is left running. */
  stop(): Promise<void>
}

/**
 * Keeps a tunnel dialled; `dial-states.ts` says what follows what. The wait between two attempts is a random part of a
 * bound that starts at `minMs` and doubles up to `maxMs`; the bound starts over after a tunnel that stood for at least
 * `maxMs`.
 */
export function keepDialled(options: KeepDialledOptions): KeptDialled {
  return new Dialler(options)
}

class Dialler implements KeptDialled {
  peer: TunnelPeer | undefined
  state: DialState = 'dialling'
  private readonly options: KeepDialledOptions
  private readonly clock: TunnelClock
  private readonly bounds: { minMs: number; maxMs: number }
  private readonly stopper = new AbortController()
  private readonly stopped: Promise<void>
  private resolveStopped: () => void = () => undefined
  private cancelWait: () => void = () => undefined
  private attempts = 0
  /** Why nothing stands. */
  private last: Pick<DialRetry, 'after' | 'error'> | undefined

  constructor(options: KeepDialledOptions) {
    this.options = options
    this.clock = options.clock ?? systemClock
    this.bounds = { minMs: options.minMs ?? MIN_WAIT_MS, maxMs: options.maxMs ?? MAX_RECONNECT_WAIT_MS }
    this.stopped = new Promise((resolve) => {
      this.resolveStopped = resolve
    })
    options.signal?.addEventListener('abort', this.abort)
    if (options.signal?.aborted === true) {
      this.state = 'stopped'
      this.finish()
    } else void this.attempt()
  }

  async stop(): Promise<void> {
    this.abort()
    await this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  private readonly abort = (): void => this.apply('stop')

  /** The only way from state to state; entering one begins what is under way there. */
  private apply(event: DialEvent): void {
    const from = this.state
    this.state = dialTransitions[from][event]
    if (this.state === from) return
    if (this.state === 'dialling') void this.attempt()
    else if (this.state === 'connected') this.greet()
    else if (this.state === 'backing_off') this.backOff()
    else if (this.state === 'stopping') this.end()
    else this.finish()
  }

  private async attempt(): Promise<void> {
    let peer: TunnelPeer
    try {
      peer = await this.options.dial(this.stopper.signal)
    } catch (error) {
      this.last = { after: 'failed', error: error instanceof Error ? error : new Error(String(error)) }
      this.apply('failed')
      return
    }
    this.stand(peer)
  }

  private stand(peer: TunnelPeer): void {
    const since = this.clock.now()
    this.peer = peer
    void peer.whenClosed.then((error) => {
      this.peer = undefined
      this.last = { after: 'ended', error }
      if (this.clock.now() - since >= this.bounds.maxMs) this.attempts = 0
      this.apply('ended')
    })
    this.apply('dialled')
    // Told to stop during the attempt, it is not entered again.
    if (this.state === 'stopping') this.end()
  }

  private greet(): void {
    if (this.peer !== undefined) this.options.onPeer?.(this.peer)
  }

  private end(): void {
    this.stopper.abort()
    this.peer?.close('this end stops')
  }

  private backOff(): void {
    const retryInMs = (this.options.jitter ?? Math.random)() * waitBound(this.attempts, this.bounds)
    this.attempts += 1
    this.cancelWait = this.clock.after(retryInMs, () => this.apply('due'))
    if (this.last !== undefined) this.options.onRetry?.({ ...this.last, attempts: this.attempts, retryInMs })
  }

  private finish(): void {
    this.cancelWait()
    this.stopper.abort()
    this.options.signal?.removeEventListener('abort', this.abort)
    this.resolveStopped()
  }
}
