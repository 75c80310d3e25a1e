import { createLogger } from '@atoll/service'
import { expect, test } from 'vitest'
import { createRecurringWork } from './recurring-work.ts'

const log = createLogger('test', 'silent')

test('is done again and again, never twice at once, whatever fails', async () => {
  let running = 0
  let times = 0
  await new Promise<void>((resolve) => {
    const recurring = createRecurringWork({
      ...{ name: 'testing', everyMs: 1, log },
      work: async () => {
        running += 1
        expect(running).toBe(1)
        await Promise.resolve()
        running -= 1
        times += 1
        if (times === 5) resolve(recurring[Symbol.asyncDispose]())
        if (times % 2 === 0) throw new Error('on purpose')
      },
    })
    recurring.start()
  })
  expect(times).toBe(5)
})

test('disposing waits for what is under way, tells it to end, and lets nothing follow', async () => {
  let hasEnded = false
  let begun: () => void = () => undefined
  const beginning = new Promise<void>((resolve) => {
    begun = resolve
  })
  const recurring = createRecurringWork({
    ...{ name: 'testing', everyMs: 1, log },
    work: async (signal) => {
      begun()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      hasEnded = true
    },
  })
  recurring.start()
  await beginning
  await recurring[Symbol.asyncDispose]()
  expect(hasEnded).toBe(true)
})
