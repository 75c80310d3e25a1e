import { expect, it } from 'vitest'
import { createBackground } from './background.ts'
import { pause } from './pause.ts'

const HOUR_MS = 3_600_000

it('does one thing at a time, and ends with what failed', async () => {
  const background = createBackground()
  const first = new AbortController()
  expect(background.begin(() => pause(HOUR_MS, first.signal))).toBe(true)
  expect(background.begin(() => Promise.reject(new Error('never begun')))).toBe(false)
  first.abort()
  await background.end()
  background.begin(() => Promise.reject(new Error('went wrong')))
  await expect(background.end()).rejects.toThrow('went wrong')
})
