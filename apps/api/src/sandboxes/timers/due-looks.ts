import type { Logger } from '@atoll/service'

/** At most so long until the next look, in milliseconds: for what another replica has changed. */
const LOOK_MAX_MS = 10_000

/** At least so long from look to look, in milliseconds, however much is due, or is asked for. */
const LOOK_MIN_MS = 500

export interface DueLooksOptions {
  /** Does what is due, and resolves with when the next is, in milliseconds since the epoch; undefined: nothing is. */
  look: () => Promise<number | undefined>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** Calls once after `delayMs`, unless the function that it answers is called. The system's timers by default. */
  after?: (delayMs: number, call: () => void) => () => void
}

/** Looks when something is due. Disposing ends the look under way. */
export interface DueLooks extends AsyncDisposable {
  /** Looks now, and from then on. */
  start(): void
  /** Something may have come due earlier than the last look knew: looks as soon as it may. */
  wake(): void
}

/** One look at a time, in the moment something is due: half a second late at most, and as long as the look before takes. */
export function createDueLooks({ look, log, now, after = systemAfter }: DueLooksOptions): DueLooks {
  let isStarted = false
  let isClosed = false
  let isWoken = false
  let lookedAt = Number.NEGATIVE_INFINITY
  let running: Promise<void> | undefined
  let cancel: () => void = () => undefined

  function schedule(at: number): void {
    if (isClosed) return
    cancel()
    const time = now()
    // A clock that was set back says nothing of how long ago the last look was.
    const restMs = time < lookedAt ? 0 : lookedAt + LOOK_MIN_MS - time
    cancel = after(Math.min(Math.max(0, at - time, restMs), LOOK_MAX_MS), () => {
      running = run()
    })
  }

  async function run(): Promise<void> {
    isWoken = false
    lookedAt = now()
    let next: number | undefined
    try {
      next = await look()
    } catch (error) {
      log.error({ err: error }, 'a pass of the timers failed; the next one follows')
    }
    running = undefined
    schedule(isWoken ? now() : (next ?? Number.POSITIVE_INFINITY))
  }

  return {
    start() {
      isStarted = true
      schedule(now())
    },
    wake() {
      isWoken = true
      if (isStarted && running === undefined) schedule(now())
    },
    async [Symbol.asyncDispose]() {
      isClosed = true
      cancel()
      await running
    },
  }
}

function systemAfter(delayMs: number, call: () => void): () => void {
  const timer = setTimeout(call, delayMs)
  return () => clearTimeout(timer)
}
