import { MAX_PACED_TEXT_CHUNK_BYTES, MAX_TEXT_CHUNK_BYTES, textChunks } from '@atoll/tunnel'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { followLog } from './log-reader.ts'
import { LogStore } from './log-store.ts'

const signal = new AbortController().signal

async function chunksOf(bytes: Buffer, paced = false): Promise<{ chunks: Buffer[]; times: number[] }> {
  const log = new LogStore().createLog({})
  log.append('stdout', bytes)
  log.finish()
  const chunks: Buffer[] = []
  const times: number[] = []
  for await (const chunk of textChunks(followLog(log, { follow: true, signal }), { paced, signal })) {
    chunks.push(chunk)
    times.push(performance.now())
  }
  times.push(performance.now())
  log.release()
  return { chunks, times }
}

describe('plain chunks', () => {
  it('end with whole lines, are not too large, and lose nothing', async () => {
    const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `line ${index} ü🦀\n`).join(''))
    const { chunks } = await chunksOf(bytes)
    expect(Buffer.concat(chunks)).toEqual(bytes)
    for (const chunk of chunks) {
      expect(chunk.length).toBeLessThanOrEqual(MAX_TEXT_CHUNK_BYTES)
      expect(chunk.at(-1)).toBe(10)
    }
  })

  it('end with whole characters where there are no lines', async () => {
    const bytes = Buffer.from(`a${'🦀é€'.repeat(30_000)}`)
    const { chunks } = await chunksOf(bytes)
    expect(chunks.length).toBeGreaterThan(3)
    expect(chunks.map(String).join('')).toBe(bytes.toString())
  })

  it('keep bytes that are no UTF-8', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        const { chunks } = await chunksOf(Buffer.from(bytes))
        expect(Buffer.concat(chunks)).toEqual(Buffer.from(bytes))
      }),
    )
    const { chunks } = await chunksOf(Buffer.alloc(100_000, 0xe2))
    expect(Buffer.concat(chunks).length).toBe(100_000)
  })

  it('wait for the rest of a character', async () => {
    const log = new LogStore().createLog({})
    const chunks = textChunks(followLog(log, { follow: true, signal }), { paced: false, signal })
    log.append('stdout', Buffer.from([0x61, 0xf0, 0x9f]))
    expect((await chunks.next()).value).toEqual(Buffer.from('a'))
    const next = chunks.next()
    log.append('stdout', Buffer.from([0xa6, 0x80]))
    expect((await next).value).toEqual(Buffer.from('🦀'))
    log.release()
  })

  it('keep the distances that old SDKs need', async () => {
    const { chunks, times } = await chunksOf(Buffer.alloc(3 * MAX_PACED_TEXT_CHUNK_BYTES, 'x'), true)
    expect(chunks.map(({ length }) => length)).toEqual(Array.from({ length: 3 }, () => MAX_PACED_TEXT_CHUNK_BYTES))
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
    // A timer may fire a millisecond early.
    for (const gap of gaps.slice(0, -1)) expect(gap).toBeGreaterThanOrEqual(48)
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(97)
  })
})
