import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MAX_SNAPSHOT_LOG_BYTES } from '@atoll/protocol'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { OpenSnapshotLog } from './snapshot-log.ts'
import { createSnapshotLog, readSnapshotLog } from './snapshot-log.ts'

let folder: string
let path: string
let log: OpenSnapshotLog
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-log-'))
  path = join(folder, 'log')
  log = await createSnapshotLog(path)
})
afterEach(async () => {
  await log.end()
  await rm(folder, { recursive: true })
})

async function read(options: { from?: number; follow?: boolean; signal?: AbortSignal } = {}): Promise<string> {
  const { from = 0, follow = false, signal = new AbortController().signal } = options
  const chunks: Buffer[] = []
  const reading = readSnapshotLog(await open(path, 'r'), { from, follow: follow ? log : undefined, signal })
  for await (const chunk of reading) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

it('a follower has every line until the end, whenever it came', async () => {
  log.append('one')
  const early = read({ follow: true })
  log.append('two\r')
  const late = read({ follow: true, from: 4 })
  await log.close()
  log.append('too late')
  await log.end()
  expect([await early, await late, await read({ from: 8 }), await read({ from: 999 })]).toEqual([
    'one\ntwo\n',
    'two\n',
    '',
    '',
  ])
})

it('a follower that goes away stops reading', async () => {
  const gone = new AbortController()
  const following = read({ follow: true, signal: gone.signal })
  gone.abort()
  expect(await following).toBe('')
})

it('a log is bounded, and says what is not kept', async () => {
  const line = 'x'.repeat(9_999)
  for (let number = 0; number < 1_000; number += 1) log.append(line)
  await log.end()
  expect((await stat(path)).size).toBeLessThanOrEqual(MAX_SNAPSHOT_LOG_BYTES)
  const lines = (await read()).trimEnd().split('\n')
  // A long line is cut.
  expect(lines[0]).toHaveLength(8_192)
  const kept = lines.length - 1
  expect(lines.at(-1)).toBe(`(${(1_000 - kept) * 8_193} more bytes are not kept)`)
})
