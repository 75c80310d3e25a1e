import type { Logger } from '@atoll/service'

/** The longest time until the next look, in milliseconds, because another replica may have changed something. */
const LOOK_MAX_MS = 10_000

/** The shortest time from look to look, in milliseconds, however much is due and however often a look is asked for. */
const LOOK_MIN_MS = 500

export interface DueLooksOptions {
  /** Does what is due. Returns when something is due next, in milliseconds since the epoch; undefined: nothing is. */
  look: () => Promise<number | undefined>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** Calls `call` once after `delayMs`, unless the returned function is called before. The system's timers by default. */
  after?: (delayMs: number, call: () => void) => () => void
}

/** Looks whenever something is due. Disposing waits for the look under way. */
export interface DueLooks extends AsyncDisposable {
  /** Looks now, and then whenever something is due. */
  start(): void
  /** Looks as soon as it may, because something may be due earlier than the last look knew. */
  wake(): void
}

/** Runs one look at a time, when something is due: late by half a second at most, and by the duration of the look before. */
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
    // A clock that was set back does not tell how long ago the last look was.
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
