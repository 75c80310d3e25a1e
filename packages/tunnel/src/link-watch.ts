import { frameTypes } from './frame.ts'
import type { MessageWriter } from './message-writer.ts'
import type { ControlSource, SendScheduler } from './send-scheduler.ts'
import { TunnelError, violation } from './tunnel-error.ts'
import type { TunnelClock, TunnelLimits } from './types.ts'

const PING_BYTES = 8

/** The number of pings sent one after another when a link opens, to tune windows from the start: the first are slow. */
const OPENING_PINGS = 8

/** Windows are tuned to the shortest of this many round trips; longer ones include queueing and busy event loops. */
const ROUND_TRIPS_KEPT = 8

/** The weight of a new measurement in the smoothed round trip. */
const SMOOTHING = 1 / 8

/** Pings a link, measures its round trip, and reports when nothing has been heard for `idleTimeoutMs`. */
export class LinkWatch implements ControlSource {
  private readonly limits: TunnelLimits
  private readonly clock: TunnelClock
  private readonly scheduler: SendScheduler
  private readonly onSilent: (error: TunnelError) => void
  private cancelTimer: () => void = () => {}
  private heardAt: number
  private pingNumber = 0
  private pingWanted = false
  private pingSentAt: number | undefined
  private pongWanted: Buffer | undefined
  private openingPingsLeft = OPENING_PINGS
  private roundTrips: number[] = []
  private smoothed: number | undefined

  constructor(options: {
    limits: TunnelLimits
    clock: TunnelClock
    scheduler: SendScheduler
    onSilent: (error: TunnelError) => void
  }) {
    this.limits = options.limits
    this.clock = options.clock
    this.scheduler = options.scheduler
    this.onSilent = options.onSilent
    this.heardAt = options.clock.now()
  }

  get roundTripMs(): number | undefined {
    return this.smoothed
  }

  leastRoundTripMs(): number | undefined {
    return this.roundTrips.length === 0 ? undefined : Math.min(...this.roundTrips)
  }

  /** Starts the deadline of the handshake. */
  start(): void {
    this.cancelTimer = this.clock.after(this.limits.handshakeTimeoutMs, () => {
      this.onSilent(new TunnelError('LINK_TIMEOUT', `no HELLO within ${this.limits.handshakeTimeoutMs} ms`))
    })
  }

  /** Starts to ping, once the handshake is done. */
  opened(): void {
    this.ping()
    this.planCheck()
  }

  stop(): void {
    this.cancelTimer()
  }

  heard(): void {
    this.heardAt = this.clock.now()
  }

  takePing(payload: Buffer): void {
    if (payload.length !== PING_BYTES) throw violation('a ping of the wrong size')
    // Only the newest ping is answered: a peer cannot make this end queue more.
    this.pongWanted = Buffer.from(payload)
    this.scheduler.scheduleControl(this)
  }

  takePong(payload: Buffer): void {
    if (payload.length !== PING_BYTES) throw violation('a pong of the wrong size')
    if (this.pingSentAt === undefined || payload.readUInt32BE(4) !== this.pingNumber) return
    this.measured(this.clock.now() - this.pingSentAt)
    this.pingSentAt = undefined
    if (this.openingPingsLeft > 0) this.ping()
  }

  emitControl(writer: MessageWriter): void {
    if (this.pongWanted !== undefined) writer.writeBytes({ type: frameTypes.pong, exchangeId: 0 }, this.pongWanted)
    this.pongWanted = undefined
    if (!this.pingWanted) return
    this.pingWanted = false
    const payload = Buffer.alloc(PING_BYTES)
    payload.writeUInt32BE(this.pingNumber, 4)
    writer.writeBytes({ type: frameTypes.ping, exchangeId: 0 }, payload)
    this.pingSentAt = this.clock.now()
  }

  private planCheck(): void {
    const untilSilent = this.heardAt + this.limits.idleTimeoutMs - this.clock.now()
    this.cancelTimer = this.clock.after(Math.max(1, Math.min(this.limits.pingIntervalMs, untilSilent)), () =>
      this.check(),
    )
  }

  private check(): void {
    if (this.clock.now() - this.heardAt >= this.limits.idleTimeoutMs) {
      this.onSilent(new TunnelError('LINK_TIMEOUT', `nothing heard for ${this.limits.idleTimeoutMs} ms`))
      return
    }
    this.scheduler.writer.release()
    this.ping()
    this.planCheck()
  }

  private ping(): void {
    this.openingPingsLeft = Math.max(0, this.openingPingsLeft - 1)
    this.pingNumber = (this.pingNumber + 1) % 2 ** 32
    this.pingWanted = true
    this.scheduler.scheduleControl(this)
  }

  private measured(roundTripMs: number): void {
    this.roundTrips = [...this.roundTrips, roundTripMs].slice(-ROUND_TRIPS_KEPT)
    this.smoothed =
      this.smoothed === undefined ? roundTripMs : this.smoothed + SMOOTHING * (roundTripMs - this.smoothed)
  }
}
