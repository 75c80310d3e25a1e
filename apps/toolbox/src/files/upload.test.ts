import { execFileSync } from 'node:child_process'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BufferedResponse } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BOUNDARY, form, MULTIPART_HEADERS } from '../testing/multipart.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox, target } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const upload = (path: string | Buffer, body: Buffer | string, headers = MULTIPART_HEADERS): Promise<BufferedResponse> =>
  toolbox.call('POST', '/files/upload', { query: { path }, headers, body: Buffer.from(body) })

async function expectRefused(response: BufferedResponse, status: number, code: string) {
  expect(bodyOf(response)).toMatchObject({ statusCode: status, code })
}

describe('uploading a file', () => {
  it('writes its bytes, creates parents and leaves nothing beside it', async () => {
    const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => (index * 31) % 256))
    const response = await upload('new/deep/file.bin', form(bytes))
    expect(response).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect((await readFile(at('new/deep/file.bin'))).equals(bytes)).toBe(true)
    expect(await readdir(at('new/deep'))).toEqual(['file.bin'])
  })

  it('writes content that looks like the boundary, and none at all', async () => {
    const content = `--${BOUNDARY.slice(0, -1)}\r\n\r\n--${BOUNDARY.slice(1)}--\r\n--\r\n`
    await upload('tricky', form(content))
    expect(await readFile(at('tricky'), 'utf8')).toBe(content)
    await upload('empty', form(''))
    expect((await stat(at('empty'))).size).toBe(0)
  })

  it('takes the field file whatever comes around it, and the first of two', async () => {
    const field = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\n${'n'.repeat(5000)}\r\n`
    const second = form('second')
    const body = Buffer.concat([
      Buffer.from(`preamble\r\n${field}`),
      form('first').subarray(0, -4),
      Buffer.from('\r\n'),
      second,
    ])
    expect((await upload('one', body)).status).toBe(200)
    expect(await readFile(at('one'), 'utf8')).toBe('first')
  })

  it('takes a file field without a file name', async () => {
    const body = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\nplain\r\n--${BOUNDARY}--\r\n`
    expect((await upload('plain', body)).status).toBe(200)
    expect(await readFile(at('plain'), 'utf8')).toBe('plain')
  })

  it.each(['a\nb', 'x'.repeat(255), '日本', ' leading', '%41', '+'])('writes to the name %j', async (name) => {
    expect((await upload(name, form('x'))).status).toBe(200)
    expect(await readdir(toolbox.folder)).toEqual([name])
  })

  it('writes to a name that is no UTF-8', async () => {
    const name = Buffer.from([0xff, 0xfe])
    expect((await upload(name, form('x'))).status).toBe(200)
    expect(await readdir(toolbox.folder, 'buffer')).toEqual([name])
  })
})

describe('an upload over a file', () => {
  it('keeps its mode and owner', async () => {
    await writeFile(at('script'), 'old')
    await chmod(at('script'), 0o4750)
    if (process.getuid?.() === 0) await chown(at('script'), 1234, 4321)
    const before = await stat(at('script'))
    await upload('script', form('new'))
    const after = await stat(at('script'))
    expect([after.uid, after.gid]).toEqual([before.uid, before.gid])
    expect(await readFile(at('script'), 'utf8')).toBe('new')
    expect((after.mode & 0o777).toString(8)).toBe('750')
  })

  it('writes through a link, which stays one, even if it leads nowhere yet', async () => {
    await mkdir(at('elsewhere'))
    await writeFile(at('elsewhere/target'), 'old')
    await symlink('elsewhere/target', at('link'))
    await symlink('elsewhere/later', at('dangling'))
    await upload('link', form('new'))
    await upload('dangling', form('born'))
    expect(await readFile(at('elsewhere/target'), 'utf8')).toBe('new')
    expect(await readFile(at('elsewhere/later'), 'utf8')).toBe('born')
    expect(await readlink(at('link'))).toBe('elsewhere/target')
    expect(await readlink(at('dangling'))).toBe('elsewhere/later')
  })

  it.each(['folder', 'folder/', 'pipe', '/dev/null', 'loop', 'file/below'])('%s is refused', async (path) => {
    await mkdir(at('folder'))
    await writeFile(at('file'), 'kept')
    execFileSync('mkfifo', [at('pipe')])
    await symlink('loop', at('loop'))
    const before = await readdir(toolbox.folder)
    await expectRefused(await upload(path, form('x')), 400, 'INVALID_FILE_PATH')
    expect(await readdir(toolbox.folder)).toEqual(before)
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true)
  })
})

describe('a form', () => {
  it.each([
    ['without the field file', form('x', { field: 'other' })],
    ['with no part', `--${BOUNDARY}--\r\n`],
    ['that is empty', ''],
    ['of garbage', 'garbage'.repeat(1000)],
    ['with endless headers', `--${BOUNDARY}\r\nX: ${'y'.repeat(200_000)}`],
  ])('%s is a 400 and leaves nothing', async (_what, body) => {
    await expectRefused(await upload('target', body), 400, 'BAD_REQUEST')
    expect(await readdir(toolbox.folder)).toEqual([])
  })

  it.each([
    ['application/json'],
    ['multipart/form-data'],
    ['multipart/form-data; boundary='],
    ['multipart/mixed; boundary=x'],
  ])('of type %s is a 400', async (type) => {
    await expectRefused(await upload('target', form('x'), { 'content-type': type }), 400, 'BAD_REQUEST')
  })

  it('cut short at any point is a 400 that leaves the old file and nothing else', async () => {
    await writeFile(at('target'), 'old')
    const whole = form('content')
    // After the closing boundary only the final line break is missing, and its loss does not matter.
    for (let length = 0; length < whole.length - 2; length += 1) {
      const response = await upload('target', whole.subarray(0, length))
      expect(`${length}: ${response.status}`).toBe(`${length}: 400`)
      expect(await readdir(toolbox.folder)).toEqual(['target'])
    }
    expect(await readFile(at('target'), 'utf8')).toBe('old')
    expect(toolbox.errors).toEqual([])
  })
})

describe('an upload whose sender goes away', () => {
  it.each([0, 1, 70, 150, 100_000, 900_000])('after %i bytes leaves the old file and nothing else', async (length) => {
    await writeFile(at('target'), 'old')
    const body = form(Buffer.alloc(1_000_000, 'x'))
    const stream = toolbox.peer.request(
      { method: 'POST', path: target('/files/upload', { path: 'target' }), headers: MULTIPART_HEADERS },
      { onResponse() {}, onData() {}, onEnd() {}, onReset() {} },
    )
    stream.write(body.subarray(0, length))
    await toolbox.call('GET', '/project-dir')
    stream.reset()
    // This call is answered after the reset has arrived.
    await toolbox.call('GET', '/project-dir')
    await toolbox.uploadsEnded()
    expect(await readdir(toolbox.folder)).toEqual(['target'])
    expect(await readFile(at('target'), 'utf8')).toBe('old')
    expect(toolbox.errors).toEqual([])
  })

  it('with the whole link leaves nothing either', async () => {
    const stream = toolbox.peer.request(
      { method: 'POST', path: target('/files/upload', { path: 'target' }), headers: MULTIPART_HEADERS },
      { onResponse() {}, onData() {}, onEnd() {}, onReset() {} },
    )
    stream.write(form(Buffer.alloc(1_000_000, 'x')).subarray(0, 100_000))
    await toolbox.call('GET', '/project-dir')
    toolbox.peer.close()
    await toolbox.linkClosed
    await toolbox.uploadsEnded()
    expect(await readdir(toolbox.folder)).toEqual([])
  })
})

describe.runIf(process.getuid?.() === 0)('on a full disk (needs root to mount one)', () => {
  let disk: string
  beforeEach(async () => {
    disk = await mkdtemp(join(tmpdir(), 'atoll-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', disk])
  })
  afterEach(async () => {
    execFileSync('umount', [disk])
    await rm(disk, { recursive: true })
  })

  it('an upload is DISK_FULL, the old file stays and the room is given back', async () => {
    await writeFile(join(disk, 'target'), 'old')
    await expectRefused(await upload(join(disk, 'target'), form(Buffer.alloc(1_000_000))), 400, 'DISK_FULL')
    expect(await readdir(disk)).toEqual(['target'])
    expect(await readFile(join(disk, 'target'), 'utf8')).toBe('old')
    expect((await upload(join(disk, 'target'), form(Buffer.alloc(100_000)))).status).toBe(200)
  })
})
