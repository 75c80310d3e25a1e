import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { PTY_SIZE_CONTROL } from '@atoll/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HIGH_WATER_BYTES } from '../channels/channel-socket.ts'
import type { TestPtys } from '../testing/test-ptys.ts'
import { createTestPtys, takeUntil, typeLine } from '../testing/test-ptys.ts'
import { MAX_VIEWERS } from './pty-session.ts'
import { MAX_BEHIND_BYTES } from './pty-viewers.ts'
import { REPLAY_BYTES } from './terminal-recorder.ts'

/** The interval between two looks at how much a process has written. */
const LOOK_MS = 200

/** Waits until a process that has written more than a viewer may be behind writes no more; returns how many bytes it wrote. */
async function untilStalled(pid: number): Promise<number> {
  let before = 0
  for (;;) {
    const written = Number(/^wchar: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1])
    if (written > HIGH_WATER_BYTES && written === before) return written
    before = written
    await delay(LOOK_MS)
  }
}

let ptys: TestPtys
beforeEach(async () => {
  ptys = await createTestPtys()
})
afterEach(async () => {
  await ptys[Symbol.asyncDispose]()
  expect(ptys.toolbox.errors).toEqual([])
})

describe('several viewers', () => {
  it('see the same and may all type', async () => {
    const first = await ptys.open('shared')
    const second = await ptys.attach('shared')
    typeLine(first, 'echo one$((1))')
    await Promise.all([first.until('one1'), second.until('one1')])
    typeLine(second, 'echo two$((2))')
    await Promise.all([first.until('two2'), second.until('two2')])
  })

  it('are not held up by one of ten that does not read', async () => {
    const viewers = [await ptys.open('crowd')]
    while (viewers.length < 9) viewers.push(await ptys.attach('crowd'))
    const stalled = await ptys.attach('crowd')
    stalled.socket.pause()
    stalled.socket.send('head -c 1000000 /dev/zero; echo do""ne\r')
    await Promise.all(viewers.map((viewer) => takeUntil(viewer, 'done\r\n')))
  })

  it('drop one that falls behind, which may come again', async () => {
    const reader = await ptys.open('fast')
    const stalled = await ptys.attach('fast')
    stalled.socket.pause()
    // More bytes than the sockets of this machine hold on their own.
    typeLine(reader, `head -c ${MAX_BEHIND_BYTES + 14_000_000} /dev/zero; echo do""ne`)
    await takeUntil(reader, 'done\r\n')
    stalled.socket.resume()
    expect(await stalled.closed).toMatchObject({ code: 1008, reason: 'reads too slowly' })
    const again = await ptys.attach('fast')
    expect((await again.until('done\r\n')).length).toBeLessThanOrEqual(REPLAY_BYTES)
  })

  it('are bounded in number', async () => {
    await ptys.open('full')
    for (let count = 1; count < MAX_VIEWERS; count += 1) await ptys.attach('full')
    const client = await ptys.front.connect('/process/pty/full/connect')
    expect(String(await client.next())).toContain('clients are connected already')
    expect(await client.closed).toMatchObject({ code: 1008 })
  })
})

describe('a program that writes without end', () => {
  it('waits for its only viewer, so that nothing piles up', async () => {
    const client = await ptys.open('flood')
    client.socket.pause()
    const before = process.memoryUsage().rss
    typeLine(client, 'sh -c "echo \\$\\$ > pid; exec head -c 2000000000 /dev/zero"')
    const pid = await ptys.numberIn('pid')
    const written = await untilStalled(pid)
    expect(written).toBeLessThan(8 * 1024 * 1024)
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
    process.kill(pid)
    client.socket.resume()
    typeLine(client, 'echo al""ive')
    await takeUntil(client, 'alive')
  })

  it('runs on when nobody looks', async () => {
    const client = await ptys.open('alone')
    typeLine(
      client,
      'echo 1 > ready; while ! [ -e go ]; do sleep 0.01; done; head -c 3000000 /dev/zero; echo $((6*7)) > done',
    )
    await ptys.numberIn('ready')
    client.socket.terminate()
    await writeFile(join(ptys.toolbox.folder, 'go'), '')
    expect(await ptys.numberIn('done')).toBe(42)
  })
})

describe('a program that does not read', () => {
  it('has its client wait, and the toolbox answers meanwhile', async () => {
    const client = await ptys.open('deaf')
    typeLine(client, 'stty raw -echo; echo rea""dy; read -r; sleep 0.2; wc -c; stty sane')
    await client.until('ready')
    // These messages are like a paste of a megabyte, in pieces.
    for (let count = 0; count < 64; count += 1) client.socket.send(Buffer.alloc(16 * 1024, 'x'))
    expect(await ptys.describe('deaf')).toMatchObject({ active: true })
    await ptys.kill('deaf')
  })

  it('gets a large paste whole when it reads', async () => {
    const client = await ptys.open('paste')
    typeLine(client, 'stty raw -echo; echo rea""dy; head -c 3000000 | md5sum; stty sane; echo e""nd')
    await client.until('ready')
    const paste = Buffer.alloc(3_000_000, 'abcdefg')
    client.socket.send(paste)
    await client.until(createHash('md5').update(paste).digest('hex'))
  })
})

describe('a client that comes back', () => {
  it('sees what it missed, while programs have lived on', async () => {
    const client = await ptys.open('back')
    typeLine(client, 'echo be""fore; sleep 0.05; echo af""ter; echo $$ > pid')
    await client.until('before')
    client.socket.terminate()
    await ptys.numberIn('pid')
    const again = await ptys.attach('back')
    expect(await again.until('after')).toContain('before')
    typeLine(again, 'echo al""ive')
    await again.until('alive')
  })

  it('is told the size that each part was written for, if it asks', async () => {
    await ptys.create({ id: 'sizes' })
    const plain = await ptys.attach('sizes')
    typeLine(plain, 'echo nar""row')
    await plain.until('narrow\r\n> ')
    await ptys.resize('sizes', { cols: 200, rows: 50 })
    typeLine(plain, 'echo wi""de')
    await plain.until('wide\r\n> ')
    const again = await ptys.attach('sizes', [PTY_SIZE_CONTROL])
    const size = (cols: number, rows: number) => JSON.stringify({ type: 'control', status: 'size', cols, rows })
    expect(await again.next()).toBe(size(80, 24))
    expect(String(await again.next())).toContain('narrow')
    expect(await again.next()).toBe(size(200, 50))
    expect(String(await again.next())).toContain('wide')
    await ptys.resize('sizes', { cols: 10, rows: 5 })
    expect(await again.until(size(10, 5))).toBeDefined()
    expect(plain.messages.filter((message) => typeof message === 'string')).toEqual([])
  })

  it('has the program in front draw itself anew', async () => {
    const client = await ptys.open('redraw')
    typeLine(client, `bash -c 'trap "echo re""drawn" WINCH; echo rea""dy; while :; do read -t 0.1; done'`)
    await client.until('ready')
    const again = await ptys.attach('redraw')
    await again.until('redrawn')
  })
})
