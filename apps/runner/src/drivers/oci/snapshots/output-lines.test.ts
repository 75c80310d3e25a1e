import { MAX_SNAPSHOT_LOG_BYTES } from '@atoll/protocol'
import { expect, it } from 'vitest'
import { createOutputLines } from './output-lines.ts'

function linesOf(chunks: Iterable<string | Buffer>) {
  const taken: string[] = []
  let skipped = 0
  const lines = createOutputLines({
    take: (line) => taken.push(line),
    skip: (bytes) => {
      skipped += bytes
    },
  })
  for (const chunk of chunks) lines.push(Buffer.from(chunk))
  lines.end()
  return { taken, skipped }
}

it('lines come whole, however they arrive, and the last one without its end', () => {
  expect(linesOf(['on', 'e\n\ntw', 'o\nthree'])).toEqual({ taken: ['one', '', 'two', 'three'], skipped: 0 })
})

it('a long line comes in pieces', () => {
  const { taken } = linesOf([`${'x'.repeat(10_000)}\ny`])
  expect(taken.map(({ length }) => length)).toEqual([8_192, 10_000 - 8_192, 1])
})

it('of an endless output the first and the last lines are made, and the rest is counted', () => {
  const chunk = Buffer.from('y\n'.repeat(32 * 1024))
  const { taken, skipped } = linesOf([...Array.from({ length: 256 }, () => chunk), 'the end\n'])
  expect(taken[0]).toBe('y')
  expect(taken.at(-1)).toBe('the end')
  expect(taken.length).toBeLessThan(MAX_SNAPSHOT_LOG_BYTES)
  const bytes = taken.reduce((sum, line) => sum + line.length + 1, 0)
  expect(bytes + skipped).toBe(256 * chunk.length + 8)
})
