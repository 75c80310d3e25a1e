import { describe, expect, it } from 'vitest'
import { createFailureLimiter } from './failure-limiter.ts'

describe('the failure limiter', () => {
  it('stops a source that keeps failing, and nobody else', () => {
    const limiter = createFailureLimiter(() => 0)
    for (let i = 0; i < 30; i++) {
      expect(limiter.allows('a')).toBe(true)
      limiter.failed('a')
    }
    expect(limiter.allows('a')).toBe(false)
    expect(limiter.allows('b')).toBe(true)
  })

  it('gives tries back with time, up to a burst', () => {
    let now = 0
    const limiter = createFailureLimiter(() => now)
    for (let i = 0; i < 30; i++) limiter.failed('a')
    now = 1_000
    expect(limiter.allows('a')).toBe(true)
    limiter.failed('a')
    expect(limiter.allows('a')).toBe(false)
    now = 1_000_000
    for (let i = 0; i < 30; i++) limiter.failed('a')
    expect(limiter.allows('a')).toBe(false)
  })
})
