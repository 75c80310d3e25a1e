import { expect, it } from 'vitest'
import { compareInTurn, median, percentile } from './measure.ts'

it('the median of an even count lies between the middle two', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 3, 100])).toBe(3.5)
  expect(() => median([])).toThrow('nothing was measured')
})

it('a percentile is one of the values', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index)
  expect(percentile(values, 0.99)).toBe(198)
  expect(percentile(values, 0.5)).toBe(100)
  expect(percentile([7], 0.99)).toBe(7)
  expect(() => percentile([], 0.99)).toThrow('nothing was measured')
})

it('contenders take turns, after a few unmeasured rounds, and are compared with the first', async () => {
  const calls: string[] = []
  const contender = (name: string) => ({ name, run: async () => calls.push(name) })
  const rows = await compareInTurn(10, [contender('a'), contender('b')])
  expect(calls.join('')).toBe('ab'.repeat(11))
  expect(rows.map(({ name, unit }) => `${name} ${unit}`)).toEqual(['a ms', 'b ms'])
  expect(rows[0]?.ratio).toBe(1)
})
