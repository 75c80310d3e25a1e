import { chmod, chown, mkdir, open, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TunnelPeer } from '@atoll/tunnel'
import { describe, expect, it } from 'vitest'
import type { ToolboxProcess } from '../testing/bundle.ts'
import { ownBundle } from '../testing/bundle.ts'
import type { CallOptions } from '../testing/test-toolbox.ts'
import { bodyOf, callPeer, target } from '../testing/test-toolbox.ts'

const GIB = 1024 ** 3
/** The most memory the process may hold, however large the file; it starts with about 60 MB. */
const MAX_RESIDENT_KB = 160_000
const USER_ID = 54_321
const isRoot = process.getuid?.() === 0

const own = ownBundle()

async function start(options: { env?: Record<string, string>; uid?: number } = {}) {
  const toolbox = own.start(options)
  const peer = await own.dialHome.nextPeer()
  const call = (method: string, path: string, about: CallOptions = {}) => callPeer(peer, { method, path, ...about })
  return { toolbox, peer, call }
}

const at = (name: string) => join(own.home, name)

async function mostResidentKb({ child }: ToolboxProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1])
}

/** Reads an answer and counts its bytes without keeping them. */
function countBytes(peer: TunnelPeer, path: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; bytes: number; last: string }>((resolve, reject) => {
    const seen = { status: 0, bytes: 0, last: '' }
    const stream = peer.request(
      { method: 'GET', path: target('/files/download', { path }), headers },
      {
        onResponse: ({ status }) => {
          seen.status = status
        },
        onData(chunk) {
          seen.bytes += chunk.length
          seen.last = Buffer.from(chunk.subarray(-4)).toString()
        },
        onEnd: () => resolve(seen),
        onReset: reject,
      },
    )
    stream.end()
  })
}

describe('files larger than memory', () => {
  async function makeSparse(name: string, bytes: number): Promise<void> {
    await writeFile(at(name), '')
    await truncate(at(name), bytes)
    const file = await open(at(name), 'r+')
    await file.write('last', bytes - 4)
    await file.close()
  }

  it('go out by range and whole, in bounded memory', async () => {
    const { toolbox, peer } = await start()
    await makeSparse('huge', 10 * GIB)
    await makeSparse('large', GIB / 4)
    const end = `bytes=${10 * GIB - 1_000_000}-`
    expect(await countBytes(peer, 'huge', { range: end })).toEqual({ status: 206, bytes: 1_000_000, last: 'last' })
    const middle = `bytes=${4 * GIB - 500_000}-${4 * GIB + 499_999}`
    expect(await countBytes(peer, 'huge', { range: middle })).toMatchObject({ status: 206, bytes: 1_000_000 })
    expect(await countBytes(peer, 'large')).toEqual({ status: 200, bytes: GIB / 4, last: 'last' })
    expect(await mostResidentKb(toolbox)).toBeLessThan(MAX_RESIDENT_KB)
  })

  it('come in, in bounded memory', async () => {
    const { toolbox, peer } = await start()
    const chunk = Buffer.alloc(256 * 1024, 'x')
    const status = await new Promise<number>((resolve, reject) => {
      let left = GIB / 4
      const stream = peer.request(
        { method: 'POST', path: target('/files/upload-v2', { path: 'in' }), headers: {} },
        { onResponse: (head) => resolve(head.status), onData() {}, onEnd() {}, onReset: reject, onDrain: send },
      )
      function send(): void {
        while (left > 0) {
          left -= chunk.length
          if (!stream.write(chunk)) break
        }
        if (left <= 0) stream.end()
      }
      send()
    })
    expect(status).toBe(200)
    expect((await stat(at('in'))).size).toBe(GIB / 4)
    expect(await mostResidentKb(toolbox)).toBeLessThan(MAX_RESIDENT_KB)
  })

  it('are searched and replaced in, in bounded memory', async () => {
    const { toolbox, call } = await start({ env: { PATH: '/nowhere' } })
    await writeFile(at('lines'), `${'x'.repeat(1_000_000)}\n`.repeat(200))
    const found = await call('GET', '/files/find', { query: { path: '.', pattern: 'needle' } })
    expect(found.body.toString()).toBe('[]')
    const json = { files: ['lines'], pattern: 'x\n', newValue: 'y\n' }
    const replaced = await call('POST', '/files/replace', { json })
    expect(replaced.body.toString()).toBe('[{"file":"lines","success":true}]')
    expect((await stat(at('lines'))).size).toBe(200_000_200)
    expect(await mostResidentKb(toolbox)).toBeLessThan(MAX_RESIDENT_KB)
  })
})

describe('a toolbox killed in the middle of an upload', () => {
  it('leaves the old file, and a hidden one that the next to write there clears away', async () => {
    await writeFile(at('file'), 'old')
    const { toolbox, peer } = await start()
    const stream = peer.request(
      { method: 'POST', path: target('/files/upload-v2', { path: 'file' }), headers: {} },
      { onResponse() {}, onData() {}, onEnd() {}, onReset() {} },
    )
    stream.write(Buffer.alloc(500_000))
    await expect.poll(async () => (await readdir(own.home)).length).toBe(2)
    toolbox.child.kill('SIGKILL')
    await toolbox.exited
    expect(await readFile(at('file'), 'utf8')).toBe('old')
    const [left = ''] = (await readdir(own.home)).filter((name) => name !== 'file')
    expect(left).toMatch(/^\.atoll-.*\.part$/)
    await utimes(at(left), 1, 1)
    const { call } = await start()
    const upload = await call('POST', '/files/upload-v2', { query: { path: 'file' }, body: 'new' })
    expect(upload.status).toBe(200)
    expect(await readdir(own.home)).toEqual(['file'])
    expect(await readFile(at('file'), 'utf8')).toBe('new')
  })
})

describe.runIf(isRoot)('another user (needs root to become one)', () => {
  const PATH = process.env['PATH'] ?? '/usr/bin:/bin'

  it.each([
    ['ripgrep', PATH],
    ['Node alone', '/nowhere'],
  ])('finds what it may read and is told what it may not, with %s', async (_engine, path) => {
    await mkdir(at('shut'))
    await writeFile(at('shut/inside'), 'needle')
    await writeFile(at('secret'), 'needle')
    await writeFile(at('open'), 'needle')
    await chmod(at('secret'), 0o600)
    await chmod(at('shut'), 0o700)
    await chown(own.home, USER_ID, USER_ID)
    const { call } = await start({ uid: USER_ID, env: { PATH: path } })
    const found = await call('GET', '/files/find', { query: { path: '.', pattern: 'needle' } })
    expect(JSON.parse(found.body.toString())).toEqual([{ file: at('open'), line: 1, content: 'needle' }])
    const named = await call('GET', '/files/search', { query: { path: '.', pattern: '*' } })
    expect((bodyOf(named)['files'] as string[]).sort()).toEqual([at('open'), at('secret'), at('shut')])
    const refusals = [
      await call('GET', '/files/find', { query: { path: 'shut', pattern: 'x' } }),
      await call('GET', '/files/find', { query: { path: 'secret', pattern: 'x' } }),
      await call('GET', '/files/search', { query: { path: 'shut', pattern: 'x' } }),
      await call('POST', '/files/permissions', { query: { path: 'secret', mode: '777' } }),
      await call('POST', '/files/permissions', { query: { path: 'secret', owner: String(USER_ID) } }),
    ]
    expect(refusals.map((response) => bodyOf(response)['code'])).toEqual(refusals.map(() => 'FILE_ACCESS_DENIED'))
    const json = { files: ['secret', 'shut/inside', 'open'], pattern: 'needle', newValue: 'x' }
    const replaced = JSON.parse((await call('POST', '/files/replace', { json })).body.toString())
    expect(replaced.map(({ success }: { success: boolean }) => success)).toEqual([false, false, false])
    expect(await readFile(at('secret'), 'utf8')).toBe('needle')
    const deep = await call('GET', '/files', { query: { path: '.', depth: '3' } })
    expect(JSON.parse(deep.body.toString())).toHaveLength(3)
  })
})
