import type { RunningAtoll } from '@atoll/dev-env'
import type { Victims } from './victims.ts'

/** Keeps a system running as a service manager would: an `atoll up` that has ended is called again. */
export interface Operator {
  /** Looks whether the system runs, and starts it where it does not. One look at a time. */
  look(): Promise<void>
  /** How often it was started again. */
  readonly restarts: number
}

const SUPERVISOR_LINE = /^\d\d:\d\d:\d\d atoll /

export function createOperator(
  atoll: RunningAtoll,
  options: { victims: Victims; say: (line: string) => void },
): Operator {
  let restarts = 0
  /** Of the supervisor's output, what was passed on. */
  let told = { of: '', lines: 0 }
  /** What the supervisor itself says, such as that a program ended. */
  function tell(): void {
    const output = atoll.output()
    if (!output.startsWith(told.of)) told = { of: '', lines: 0 }
    const lines = output.split('\n').filter((line) => SUPERVISOR_LINE.test(line))
    for (const line of lines.slice(told.lines)) options.say(line)
    told = { of: output.slice(0, told.of.length || 100), lines: lines.length }
  }
  let looking: Promise<void> | undefined
  async function startWhereItEnded(): Promise<void> {
    tell()
    if (options.victims.supervisor() !== undefined) return
    restarts += 1
    options.say('operator: atoll up has ended; starting it again')
    try {
      await atoll.restart()
    } catch (error) {
      // The next look tries again: its disk may be full just now.
      options.say(`operator: ${error instanceof Error ? error.message.slice(0, 2_000) : error}`)
    }
  }
  return {
    look() {
      looking ??= startWhereItEnded().finally(() => {
        looking = undefined
      })
      return looking
    },
    get restarts() {
      return restarts
    },
  }
}
