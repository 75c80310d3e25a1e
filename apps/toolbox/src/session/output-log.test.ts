import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LogPiece, LogReader, readLog } from './log-reader.ts'
import {
  LogStore,
  MAX_COMMAND_SEGMENTS,
  MAX_MEMORY_BYTES,
  MAX_SEGMENTS,
  MAX_SESSION_SEGMENTS,
  SEGMENT_BYTES,
} from './log-store.ts'
import type { OutputLog, OutputStream } from './output-log.ts'
import { BLOCK_BYTES } from './output-log.ts'

const never = new AbortController().signal
const text = (pieces: readonly LogPiece[]) => pieces.map(({ stream, bytes }) => `${stream}:${bytes}`).join('|')

/** Returns the whole log, with neighbouring pieces of the same stream joined. */
async function contents(log: OutputLog): Promise<LogPiece[]> {
  const joined: { stream: OutputStream; parts: Buffer[] }[] = []
  for await (const pieces of readLog(log, { follow: false, signal: never })) {
    for (const { stream, bytes } of pieces) {
      if (joined.at(-1)?.stream !== stream) joined.push({ stream, parts: [] })
      joined.at(-1)?.parts.push(Buffer.from(bytes))
    }
  }
  return joined.map(({ stream, parts }) => ({ stream, bytes: Buffer.concat(parts) }))
}

/** Appends like a command's reader, which waits while the log is full. */
async function append(log: OutputLog, stream: OutputStream, chunk: Buffer): Promise<void> {
  log.append(stream, chunk)
  if (log.full) await new Promise<void>((resolve) => log.onDrain(resolve))
}

describe('a log', () => {
  it('gives back what was appended, in its order, wherever it is held', async () => {
    const chunk = fc.record({
      stream: fc.constantFrom<OutputStream>('stdout', 'stderr'),
      size: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 3 * BLOCK_BYTES })),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 40 }), async (chunks) => {
        const log = new LogStore().createLog({})
        const expected: { stream: OutputStream; text: string }[] = []
        for (const [index, { stream, size }] of chunks.entries()) {
          const bytes = Buffer.alloc(size, index % 256)
          await append(log, stream, bytes)
          if (size === 0) continue
          if (expected.at(-1)?.stream !== stream) expected.push({ stream, text: '' })
          const last = expected.at(-1)
          if (last !== undefined) last.text += bytes.toString('latin1')
        }
        const found = await contents(log)
        expect(found.map(({ stream, bytes }) => ({ stream, text: bytes.toString('latin1') }))).toEqual(expected)
        log.release()
      }),
      { numRuns: 30 },
    )
  })

  it('is followed by readers that come at any time, across the end of what is in memory', async () => {
    const log = new LogStore().createLog({})
    const follow = async () => {
      const sizes: number[] = []
      for await (const pieces of readLog(log, { follow: true, signal: never })) {
        for (const { bytes } of pieces) sizes.push(bytes.length)
      }
      return sizes.reduce((sum, size) => sum + size, 0)
    }
    const readers = [follow()]
    for (let count = 0; count < 200; count += 1) {
      await append(log, count % 2 === 0 ? 'stdout' : 'stderr', Buffer.alloc(10_000 + count))
      if (count % 50 === 0) readers.push(follow())
    }
    log.finish()
    readers.push(follow())
    expect(new Set(await Promise.all(readers))).toEqual(new Set([log.total]))
    log.release()
  })

  it('lengthens its last record under a reader that has read it', async () => {
    const log = new LogStore().createLog({})
    const reader = new LogReader(log)
    const read = async () => text(await reader.read(Number.POSITIVE_INFINITY))
    log.append('stdout', Buffer.from('a'))
    expect(await read()).toBe('stdout:a')
    expect(await read()).toBe('')
    log.append('stdout', Buffer.from('b'))
    log.append('stderr', Buffer.from('c'))
    expect(await read()).toBe('stdout:b|stderr:c')
    log.append('stderr', Buffer.from('d'))
    expect(await read()).toBe('stderr:d')
  })

  it('ends its readers when it is released, with a notice of what they have missed', async () => {
    const log = new LogStore().createLog({})
    log.append('stdout', Buffer.from('abc'))
    const reading = contents(log)
    const late = new LogReader(log)
    await reading
    log.append('stdout', Buffer.from('de'))
    log.release()
    log.append('stdout', Buffer.from('ignored'))
    expect(text(await late.read(Number.POSITIVE_INFINITY))).toBe(
      'stderr:[output cut: 5 bytes are no longer recorded]\n',
    )
    expect(await contents(log)).toHaveLength(1)
  })

  it('lets a follower go that is aborted', async () => {
    const log = new LogStore().createLog({})
    const caller = new AbortController()
    const reading = readLog(log, { follow: true, signal: caller.signal }).next()
    caller.abort(new Error('gone'))
    await expect(reading).rejects.toThrow('gone')
  })
})

describe('the bounds', () => {
  const piece = Buffer.alloc(1024 * 1024, 'x')

  async function fill(log: OutputLog, segments: number): Promise<void> {
    // Each segment stays up to a block short: output that does not fit begins the next.
    const bytes = segments * SEGMENT_BYTES
    for (let written = 0; written < bytes; written += piece.length) await append(log, 'stdout', piece)
  }

  it('keep the newest output of one command, and tell what is missing', async () => {
    const log = new LogStore().createLog({})
    await fill(log, MAX_COMMAND_SEGMENTS + 3)
    log.append('stdout', Buffer.from('the end'))
    log.finish()
    expect(log.segments.length).toBeLessThanOrEqual(MAX_COMMAND_SEGMENTS)
    const [notice, rest] = await contents(log)
    expect(notice?.stream).toBe('stderr')
    const lost = Number(/^\[output cut: (\d+) bytes are no longer recorded\]\n$/.exec(String(notice?.bytes))?.[1])
    expect(lost + (rest?.bytes.length ?? 0)).toBe(log.total)
    expect(rest?.bytes.subarray(-7).toString()).toBe('the end')
    expect(rest?.bytes.length).toBeGreaterThan((MAX_COMMAND_SEGMENTS - 1) * SEGMENT_BYTES)
    log.release()
  })

  it('let commands that ended make room, in a session and in all', async () => {
    const store = new LogStore()
    const session = {}
    const first = store.createLog(session)
    await fill(first, 12)
    first.finish()
    const second = store.createLog(session)
    await fill(second, 12)
    const third = store.createLog(session)
    await fill(third, 12)
    const ofSession = () => first.segments.length + second.segments.length + third.segments.length
    expect(ofSession()).toBeLessThanOrEqual(MAX_SESSION_SEGMENTS)
    expect(second.segments.length).toBeGreaterThanOrEqual(12)
    const others = Array.from({ length: 3 }, () => store.createLog({}))
    for (const other of others) await fill(other, 13)
    const inAll = others.reduce((sum, other) => sum + other.segments.length, ofSession())
    expect(inAll).toBeLessThanOrEqual(MAX_SEGMENTS)
    for (const log of [first, second, third, ...others]) log.release()
  })

  it('drop small logs of commands that ended first when memory is short', () => {
    const store = new LogStore()
    const logs = Array.from({ length: 200 }, () => {
      const log = store.createLog({})
      log.append('stdout', Buffer.alloc(60_000, 'x'))
      log.finish()
      return log
    })
    const held = logs.filter((log) => log.find(0) !== undefined)
    expect(held.length).toBeGreaterThan(100)
    expect(held.length * 60_000).toBeLessThanOrEqual(MAX_MEMORY_BYTES)
    expect(logs.slice(0, 50).some((log) => held.includes(log))).toBe(false)
    for (const log of logs) log.release()
  })

  it('count what is written byte by byte, of both streams in turn', async () => {
    const log = new LogStore().createLog({})
    for (let count = 0; count < 100_000; count += 1) log.append(count % 2 === 0 ? 'stdout' : 'stderr', Buffer.from('x'))
    expect(await contents(log)).toHaveLength(100_000)
    log.release()
  })
})

/** A store on a disk without room. */
class FullStore extends LogStore {
  override async openSegment(): Promise<never> {
    throw new Error('no space left on device')
  }
}

describe('a full disk', () => {
  it('costs the record, never the command: the writer goes on, and readers are told what is missing', async () => {
    const log = new FullStore().createLog({})
    for (let count = 0; count < 200; count += 1) await append(log, 'stdout', Buffer.alloc(BLOCK_BYTES, 'x'))
    await append(log, 'stdout', Buffer.from('the end'))
    log.finish()
    const found = await contents(log)
    const notices = found.flatMap(({ stream, bytes }) => (stream === 'stderr' ? [bytes.toString()] : [])).join('')
    const lost = [...notices.matchAll(/\[output cut: (\d+) bytes/g)].reduce((sum, [, bytes]) => sum + Number(bytes), 0)
    expect(lost).toBeGreaterThan(0)
    // Output that was in memory when the command ended is still there.
    expect(found.at(-1)?.bytes.length).toBeGreaterThan(4 * BLOCK_BYTES)
    const kept = found.reduce((sum, { stream, bytes }) => sum + (stream === 'stdout' ? bytes.length : 0), 0)
    expect(lost + kept).toBe(log.total)
    expect(found.at(-1)?.bytes.subarray(-7).toString()).toBe('the end')
    log.release()
  })
})
