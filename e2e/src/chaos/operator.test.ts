import type { RunningAtoll } from '@atoll/dev-env'
import { expect, it } from 'vitest'
import { createOperator } from './operator.ts'
import { createTally } from './tally.ts'

/** An operator of a system that has printed `lines`. */
function operatorOf(lines: readonly string[]) {
  const tally = createTally()
  const printed = [...lines]
  const atoll = { output: () => printed.join('\n') } as RunningAtoll
  const victims = { supervisor: () => process.pid }
  return { tally, printed, operator: createOperator(atoll, { victims, tally, say: () => undefined }) }
}

it('finds a program that ended by itself, once', async () => {
  const { tally, printed, operator } = operatorOf([
    'Starting',
    '10:00:00 atoll the api ended (status 1): starting it again',
  ])
  await operator.look()
  printed.push(
    '10:00:01 atoll the api runs again',
    '10:00:02 atoll the runner ended (killed by SIGABRT): starting it again',
  )
  await operator.look()
  expect(tally.problems).toEqual([
    'the api ended by itself (status 1)',
    'the runner ended by itself (killed by SIGABRT)',
  ])
})

it('expects the ends of what is killed, and of what says that it cannot start', async () => {
  const { tally, operator } = operatorOf([
    '10:00:00 atoll the api ended (killed by SIGKILL): starting it again',
    '10:00:01 atoll the api cannot start: the database cannot be reached',
    '10:00:01 atoll the runner ended (killed by SIGKILL): starting it again',
    '10:00:01 atoll the api ended (status 1): starting it again',
    '10:00:02 api error: the api ended (status 2)',
  ])
  await operator.look()
  expect(tally.problems).toEqual([])
})
