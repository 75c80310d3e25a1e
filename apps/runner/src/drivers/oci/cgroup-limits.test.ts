import { expect, it } from 'vitest'
import { limitFiles } from './cgroup-limits.ts'

const LIMITS = { cpu: 1.5, memoryGiB: 0.5, diskGiB: 1, pids: 64 }

it('limits of a running sandbox are written where each kind of tree has them', () => {
  expect(limitFiles('v2', LIMITS)).toEqual([
    ['cpu.max', '150000 100000'],
    ['memory.max', '536870912'],
  ])
  const old = [
    ['cpu/cpu.cfs_quota_us', '150000'],
    ['memory/memory.memsw.limit_in_bytes', '536870912'],
    ['memory/memory.limit_in_bytes', '536870912'],
  ]
  expect([limitFiles('v1', LIMITS), limitFiles('hybrid', LIMITS)]).toEqual([old, old])
})
