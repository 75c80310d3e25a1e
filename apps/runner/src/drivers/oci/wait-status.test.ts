import { describe, expect, it } from 'vitest'
import { describeWaitStatus } from './wait-status.ts'

describe('describeWaitStatus', () => {
  it.each([
    [0, 'exit 0'],
    [3 << 8, 'exit 3'],
    [9, 'killed by SIGKILL'],
    [137 << 8, 'killed by SIGKILL'],
    [143 << 8, 'killed by SIGTERM'],
    [255 << 8, 'exit 255'],
    [128 << 8, 'exit 128'],
  ])('says %i as %s', (status, words) => {
    expect(describeWaitStatus(status)).toBe(words)
  })
})
