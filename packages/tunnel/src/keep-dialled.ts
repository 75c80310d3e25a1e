import { systemClock } from './clock.ts'
import type { DialEvent, DialState } from './dial-states.ts'
import { dialTransitions, waitBound } from './dial-states.ts'
import type { TunnelClock, TunnelPeer } from './types.ts'

const MIN_WAIT_MS = 100

/** The longest wait between two attempts, in milliseconds, also after a refusal. */
export const MAX_RECONNECT_WAIT_MS = 10_000

export interface KeepDialledOptions {
  /** Makes one attempt and resolves with a ready peer. Must obey the signal and have a deadline, as `dialTunnel` does. */
  dial: (signal: AbortSignal) => Promise<TunnelPeer>
  /** Called once for each tunnel that opens, before anything else can happen on it. */
  onPeer?: (peer: TunnelPeer) => void
  /** Called when an attempt failed or a tunnel ended; the next attempt comes in `retryInMs`. */
  onRetry?: (retry: DialRetry) => void
  /** Stops the dialler, like `stop`. */
  signal?: AbortSignal
  /** The bounds of the wait, in milliseconds. Default: 100 and 10 000. */
  minMs?: number
  maxMs?: number
  /** A number from 0 to 1 for each wait. Default: `Math.random`. */
  jitter?: () => number
  clock?: TunnelClock
}

export interface DialRetry {
  /** `failed` if the attempt opened no tunnel, `ended` if a tunnel opened and is over. */
  after: 'failed' | 'ended'
  error: Error
  /** The number of attempts in a row without a lasting tunnel. */
  attempts: number
  retryInMs: number
}

/** A tunnel that is dialled again whenever it ends. */
export interface KeptDialled extends AsyncDisposable {
  /** The tunnel that is open now, if any. */
  readonly peer: TunnelPeer | undefined
  readonly state: DialState
  /** Closes the tunnel and ends any attempt or wait; resolves when nothing is left running. */
  stop(): Promise<void>
}

/**
 * Keeps a tunnel dialled, by the table in `dial-states.ts`. The wait between two attempts is a random part of a bound
 * that starts at `minMs` and doubles up to `maxMs`; the bound starts over after a tunnel that was open for at least
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
  /** The reason why no tunnel is open. */
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

  /** Moves to the next state and starts the activity of that state. Every change of state goes through here. */
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
    // `stop` during the attempt: the state `stopping` is not entered a second time, so the peer is closed here.
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
