import type { RunningAtoll } from '@atoll/dev-env'
import type { Tally } from './tally.ts'
import type { Victims } from './victims.ts'

/** Keeps a system running as a service manager would: an `atoll up` that has ended is called again. */
export interface Operator {
  /** Looks whether the system runs, and starts it where it does not. One look at a time. */
  look(): Promise<void>
  /** How often it was started again. */
  readonly restarts: number
}

const SUPERVISOR_LINE = /^\d\d:\d\d:\d\d atoll /
const ENDED = /the (\w+) ended \((.*)\): starting it again$/
/** How a program ends that a fault hits. */
const BY_A_FAULT = 'killed by SIGKILL'

export interface OperatorOptions {
  victims: Pick<Victims, 'supervisor'>
  tally: Pick<Tally, 'problem'>
  say: (line: string) => void
}

export function createOperator(atoll: RunningAtoll, { victims, tally, say }: OperatorOptions): Operator {
  let restarts = 0
  /** Of the supervisor's lines in this run of it, how many were passed on. */
  let told = 0
  /** What the supervisor itself says, such as that a program ended. */
  function tell(): void {
    const lines = atoll
      .output()
      .split('\n')
      .filter((line) => SUPERVISOR_LINE.test(line))
    for (const [index, line] of lines.entries()) {
      if (index < told) continue
      say(line)
      const death = unexplainedDeath(line, lines.slice(0, index))
      if (death !== undefined) tally.problem(death)
    }
    told = lines.length
  }
  let looking: Promise<void> | undefined
  async function startWhereItEnded(): Promise<void> {
    tell()
    if (victims.supervisor() !== undefined) return
    restarts += 1
    say('operator: atoll up has ended; starting it again')
    try {
      await atoll.restart()
      told = 0
    } catch (error) {
      // The next look tries again: its disk may be full just now.
      say(`operator: ${error instanceof Error ? error.message.slice(0, 2_000) : error}`)
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

/** That a program ended by itself, unless it had said that it cannot start. */
function unexplainedDeath(line: string, before: readonly string[]): string | undefined {
  const [, name, how] = ENDED.exec(line) ?? []
  if (name === undefined || how === BY_A_FAULT) return undefined
  const last = before.findLast((earlier) => earlier.includes(`the ${name} `))
  return last?.includes(`the ${name} cannot start: `) ? undefined : `the ${name} ended by itself (${how})`
}
