import type { Logger } from '@atoll/service'

const INTERVAL_MS = 60 * 60 * 1000

export interface SignInUpkeepOptions {
  /** Deletes of expired rows; each replica runs them, and running them twice does no harm. */
  deleteExpired: readonly ((now: Date) => Promise<void>)[]
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Deletes expired rows every hour. */
export interface SignInUpkeep {
  start(): void
  /** Waits for a run that is under way. */
  close(): Promise<void>
}

export function createSignInUpkeep({ deleteExpired, log, now }: SignInUpkeepOptions): SignInUpkeep {
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  async function run(): Promise<void> {
    try {
      for (const clear of deleteExpired) await clear(new Date(now()))
    } catch (error) {
      log.warn({ err: error }, 'cannot clear away expired sign-ins')
    }
  }

  return {
    start() {
      timer ??= setInterval(() => {
        running = run()
      }, INTERVAL_MS)
    },
    async close() {
      clearInterval(timer)
      await running
    },
  }
}
