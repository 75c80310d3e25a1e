import { describe, expect, it } from 'vitest'
import { readLines } from './read-lines.ts'

async function collect(pieces: Buffer[], maxLineBytes = 1024): Promise<string[]> {
  const lines: string[] = []
  async function* source() {
    yield* pieces
  }
  for await (const line of readLines(source(), maxLineBytes)) lines.push(line)
  return lines
}

describe('readLines', () => {
  it('gives the same lines wherever the bytes are cut', async () => {
    const bytes = Buffer.from('{"a":"é€"}\n\nsecond\nlast, unfinished')
    for (let at = 0; at <= bytes.length; at++) {
      expect(await collect([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(['{"a":"é€"}', 'second'])
    }
  })

  it('refuses a line that is too long, before it has ended', async () => {
    await expect(collect([Buffer.alloc(600, 'x'), Buffer.alloc(600, 'x')])).rejects.toThrow(RangeError)
  })
})
