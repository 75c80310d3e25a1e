import { expect, it } from 'vitest'
import { formatSection } from './report.ts'

it('a section is a table that says what missed its target', () => {
  const rows = [
    { name: 'direct', median: 12_345.6, unit: 'calls/s', ratio: 1 },
    { name: 'tunnel', median: 0.1234, unit: 'ms', ratio: 0.5, target: '≥ 0.6', ok: false },
  ]
  expect(formatSection({ title: 'calls', rows })).toBe(
    [
      'calls',
      '                  median  ratio  target',
      '  direct  12,346 calls/s   1.00',
      '  tunnel        0.123 ms   0.50   ≥ 0.6  MISSED',
      '',
    ].join('\n'),
  )
})
