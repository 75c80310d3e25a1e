import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '@atoll/service'
import type { RunningProgram } from './program.ts'

/** When and how often a program that died is started again. */
export interface RestartPolicy {
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** A run longer than this counts as healthy: the count of deaths starts over. */
  readonly steadyAfterMs: number
  /** The number of deaths in a row after which the program is given up. */
  readonly maxDeaths: number
}

const RESTART_POLICY: RestartPolicy = {
  minDelayMs: 200,
  maxDelayMs: 5_000,
  steadyAfterMs: 60_000,
  maxDeaths: 6,
}

export interface KeepOptions {
  readonly name: string
  readonly start: () => RunningProgram
  /** Called with each process that is started for this program. */
  readonly onProcess: (identity: ProcessIdentity) => void
  readonly warn: (text: string) => void
  readonly policy?: RestartPolicy
  readonly now?: () => number
}

export interface KeptProgram {
  /** Resolves with the program's public address, from its first start. Rejects with StartError. */
  readonly ready: Promise<string | undefined>
  /** Resolves, with the reason, when the program has died too often. */
  readonly gaveUp: Promise<string>
  /** Asks the program to end, kills it after `deadlineMs`, and resolves when it is gone. */
  stop(deadlineMs: number): Promise<void>
  /** Sends a signal to the process that runs now. */
  signal(name: NodeJS.Signals): void
}

/** Starts a program and, once it was ready, starts it again whenever it ends unasked. */
export function keepRunning(options: KeepOptions): KeptProgram {
  const { name, warn, policy = RESTART_POLICY, now = Date.now } = options
  const stopping = new AbortController()
  let current = launch()
  let startedAt = now()
  let deaths = 0
  const ready = current.ready
  const gaveUp = ready.then(supervise, () => new Promise<string>(() => undefined))

  function launch(): RunningProgram {
    const running = options.start()
    options.onProcess(running.identity)
    return running
  }

  async function supervise(): Promise<string> {
    for (;;) {
      const how = await current.ended
      if (stopping.signal.aborted) return new Promise(() => undefined)
      deaths = now() - startedAt > policy.steadyAfterMs ? 1 : deaths + 1
      if (deaths > policy.maxDeaths) return `the ${name} ended ${deaths} times in a row (${how}): see its log`
      warn(`the ${name} ended (${how}): starting it again`)
      // Aborting only ends the wait.
      await delay(restartDelay(policy, deaths), undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return new Promise(() => undefined)
      startedAt = now()
      current = launch()
      await current.ready.then(
        () => warn(`the ${name} runs again`),
        (error: Error) => warn(error.message),
      )
    }
  }

  return {
    ready,
    gaveUp,
    signal: (signal) => current.signal(signal),
    async stop(deadlineMs) {
      stopping.abort()
      current.signal('SIGTERM')
      const timer = setTimeout(() => {
        warn(`the ${name} did not end within ${Math.round(deadlineMs / 1000)} s: killed`)
        current.signal('SIGKILL')
      }, deadlineMs)
      await current.ended
      clearTimeout(timer)
    },
  }
}

function restartDelay(policy: RestartPolicy, deaths: number): number {
  return Math.min(policy.maxDelayMs, policy.minDelayMs * 2 ** (deaths - 1))
}
