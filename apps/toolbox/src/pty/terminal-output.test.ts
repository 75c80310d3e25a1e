import { describe, expect, it } from 'vitest'
import { createTerminalOutput, unfinishedBytes } from './terminal-output.ts'

/** Collects batches, and wakes the caller that waits for the next one. */
function collect() {
  const batches: string[] = []
  let wake = () => {}
  const output = createTerminalOutput((batch) => {
    batches.push(batch.toString('latin1'))
    wake()
  })
  const next = () =>
    new Promise<void>((resolve) => {
      wake = resolve
    })
  return { batches, output, next }
}
const latin1 = (text: string) => Buffer.from(text).toString('latin1')

describe('terminal output', () => {
  it('is put together for each turn', async () => {
    const { batches, output, next } = collect()
    output.add(Buffer.from('a'))
    output.add(Buffer.from('b'))
    await next()
    output.add(Buffer.from('c'))
    await next()
    expect(batches).toEqual(['ab', 'c'])
  })

  it('is cut between characters', async () => {
    const { batches, output, next } = collect()
    const crab = Buffer.from('x🦀')
    output.add(crab.subarray(0, 3))
    await next()
    output.add(crab.subarray(3))
    await next()
    expect(batches).toEqual(['x', latin1('🦀')])
  })

  it('does not hold a part of a character for long, nor at the end', async () => {
    const { batches, output, next } = collect()
    output.add(Buffer.from([0xe9]))
    await next()
    output.add(Buffer.from([0xe9]))
    output.end()
    expect(batches).toEqual(['\xe9', '\xe9'])
  })

  it('is handed over before a turn is over when it is much', () => {
    const { batches, output } = collect()
    output.add(Buffer.alloc(200_000, 'x'))
    expect(batches).toHaveLength(1)
    output.end()
  })

  it.each([
    ['', 0],
    ['a', 0],
    ['é', 0],
    ['\xc3', 1],
    ['\xe2\x82', 2],
    ['\xf0\x9f\xa6', 3],
    ['\xf0', 1],
    ['\x80\x80\x80\x80', 0],
    ['\xff', 0],
    ['\xc0', 0],
  ])('%j ends in %i bytes of an unfinished character', (text, count) => {
    expect(unfinishedBytes(text === 'é' ? Buffer.from(text) : Buffer.from(text, 'latin1'))).toBe(count)
  })
})
