import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTerminalRecorder } from './terminal-recorder.ts'

const SIZE = { cols: 80, rows: 24 }
const WIDE = { cols: 200, rows: 50 }
const text = (recorder: ReturnType<typeof createTerminalRecorder>) =>
  recorder.replay().map(({ cols, data }) => [cols, data.toString()])

describe('a terminal recorder', () => {
  it('gives output back split by the size it was written for', () => {
    const recorder = createTerminalRecorder(SIZE)
    expect(text(recorder)).toEqual([[80, '']])
    recorder.take(Buffer.from('narrow'))
    recorder.resize(WIDE)
    recorder.resize({ cols: 100, rows: 24 })
    recorder.resize(WIDE)
    recorder.take(Buffer.from('wide'))
    recorder.take(Buffer.from('r'))
    expect(text(recorder)).toEqual([
      [80, 'narrow'],
      [200, 'wider'],
    ])
  })

  it('keeps the end of what is too much, from a whole line on', () => {
    const recorder = createTerminalRecorder(SIZE, 10)
    recorder.take(Buffer.from('first\nsecond\nthird\n'))
    expect(text(recorder)).toEqual([[80, 'third\n']])
    recorder.take(Buffer.from('éééé'))
    expect(text(recorder)).toEqual([[80, 'éééé']])
    recorder.take(Buffer.from('x'))
    recorder.take(Buffer.from('éé'))
    expect(text(recorder)).toEqual([[80, 'ééxéé']])
  })

  it('forgets sizes with their output', () => {
    const recorder = createTerminalRecorder(SIZE, 4)
    recorder.take(Buffer.from('a'))
    recorder.resize(WIDE)
    recorder.take(Buffer.from('bcde'))
    expect(text(recorder)).toEqual([[200, 'bcde']])
  })

  it('keeps a bounded number of sizes', () => {
    const recorder = createTerminalRecorder(SIZE)
    for (let cols = 1; cols <= 1000; cols += 1) {
      recorder.resize({ cols, rows: 1 })
      recorder.take(Buffer.from('x'))
    }
    expect(recorder.replay()).toHaveLength(256)
    expect(recorder.replay().at(-1)).toMatchObject({ cols: 1000, data: Buffer.from('x') })
  })

  it('takes less room from when it is told to', () => {
    const recorder = createTerminalRecorder(SIZE)
    recorder.take(Buffer.from('0123456789'))
    recorder.shrink(4)
    expect(text(recorder)).toEqual([[80, '6789']])
    recorder.take(Buffer.from('ab'))
    expect(text(recorder)).toEqual([[80, '89ab']])
  })

  it('holds the same bytes as a plain list would, however they come', () => {
    const step = fc.oneof(fc.uint8Array({ maxLength: 40, min: 97, max: 122 }), fc.integer({ min: 1, max: 9 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const recorder = createTerminalRecorder(SIZE, 64)
        let all = ''
        for (const given of steps) {
          if (typeof given === 'number') recorder.resize({ cols: given, rows: 1 })
          else {
            recorder.take(Buffer.from(given))
            all += Buffer.from(given).toString()
          }
        }
        const kept = Buffer.concat(recorder.replay().map(({ data }) => data)).toString()
        expect(kept).toBe(all.slice(-64))
      }),
    )
  })
})
