import { describe, expect, it } from 'vitest'
import { drawChart, niceCeiling } from './density-chart.ts'
import { cpuMsOf, sumOf } from './density-use.ts'

describe('a chart', () => {
  it('has each line, its label and its values in their places', () => {
    const line = {
      label: 'a < b',
      points: [
        { x: 1, y: 5 },
        { x: 10, y: 10 },
      ],
    }
    const svg = drawChart('sandboxes', [{ title: 'Memory', lines: [line] }])
    expect(svg).toContain('a &#60; b')
    // The last point is at the right edge and, because it has the highest value, at the top.
    expect(svg).toContain('L560.0 40.0"')
    expect(svg.match(/<circle /g)).toHaveLength(2)
    expect(svg).not.toContain('NaN')
  })

  it('ends its axis at a round number that is no less', () => {
    expect([0.7, 1, 10.2, 21, 26, 99].map(niceCeiling)).toEqual([1, 1, 20, 25, 50, 100])
  })
})

describe('what a process takes', () => {
  it('is read from its counters', () => {
    const times = Array.from({ length: 30 }, (_, field) => (field === 11 ? 7 : field === 12 ? 5 : 1)).join(' ')
    expect(cpuMsOf(`1 (a) b) ${times}`)).toBe(120)
    expect(cpuMsOf('')).toBe(0)
    const maps = 'Pss:  10 kB\nPrivate_Clean:  1000 kB\nPrivate_Dirty:  1000 kB\n'
    expect(sumOf(maps, ['Private_Clean', 'Private_Dirty'])).toBeCloseTo(2.048)
  })
})
