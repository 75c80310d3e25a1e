import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { chmod, mkdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TextMatch } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collectedBufferBytes } from '../../testing/collected-memory.ts'
import { TOOLS_BIN } from '../../testing/injected-tools.ts'
import type { TestToolbox } from '../../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox, target } from '../../testing/test-toolbox.ts'
import { findGrep, runGrep } from './run-grep.ts'
import { findRipgrep, runRipgrep } from './run-ripgrep.ts'
import { MAX_MATCHES } from './text-match.ts'

const PATH = `${TOOLS_BIN}:${process.env['PATH'] ?? '/usr/bin:/bin'}`
const Matches = Type.Array(TextMatch)

let toolbox: TestToolbox
const at = (name: string | Buffer) => Buffer.concat([Buffer.from(`${toolbox.folder}/`), Buffer.from(name)])
const call = (path: string | Buffer, pattern: string | Buffer) =>
  toolbox.call('GET', '/files/find', { query: { path, pattern } })

/** Returns matches with paths below the work directory, sorted. */
async function find(path: string | Buffer, pattern: string | Buffer) {
  const response = await call(path, pattern)
  expect(`${response.status} ${response.body.subarray(0, 200)}`).toMatch(/^200/)
  const matches = Value.Parse(Matches, JSON.parse(response.body.toString()))
  return matches
    .map(({ file, line, content }) => [file.replace(`${toolbox.folder}/`, ''), line, content] as const)
    .sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]))
}

/** A folder with GNU grep only. */
const grepOnly = mkdtempSync(join(tmpdir(), 'atoll-grep-'))
symlinkSync('/usr/bin/grep', join(grepOnly, 'grep'))
afterAll(() => rmSync(grepOnly, { recursive: true }))

const engines = [
  { engine: 'ripgrep', path: TOOLS_BIN },
  { engine: 'GNU grep', path: grepOnly },
  { engine: 'Node alone', path: '/nowhere' },
]

describe.each(engines)('finding a text with $engine', ({ path: searchPath }) => {
  beforeEach(async () => {
    toolbox = await createTestToolbox({ PATH: searchPath })
  })
  afterEach(() => toolbox[Symbol.asyncDispose]())

  it('gives each line that holds it, with its number, from all files below', async () => {
    await mkdir(at('a/b/.hidden'), { recursive: true })
    await writeFile(at('a/one.txt'), 'no\nthe needle is here\r\nno\nneedle needle')
    await writeFile(at('a/b/.hidden/two'), 'needle\n')
    await writeFile(at('.gitignore'), '*\n')
    await writeFile(at('a/b/none'), 'nothing\n')
    await writeFile(at('a/empty'), '')
    const expected = [
      ['a/b/.hidden/two', 1, 'needle'],
      ['a/one.txt', 2, 'the needle is here'],
      ['a/one.txt', 4, 'needle needle'],
    ]
    expect(await find('.', 'needle')).toEqual(expected)
    expect(await find('./a//', 'needle')).toEqual(expected)
    expect(await find(toolbox.folder, 'absent')).toEqual([])
  })

  it('takes the text literally', async () => {
    const texts = ['a.c', '(', '[x', '^a$', '\\d', '--files', '-e', '*', '"', 'ü日', ' ']
    await writeFile(at('all'), `${texts.join('\n')}\nabc\nX\n`)
    for (const [index, text] of texts.entries()) expect(await find('.', text)).toEqual([['all', index + 1, text]])
    expect(await find('.', 'x')).toEqual([['all', 3, '[x']])
    expect(await find('.', 'a.c\n(')).toEqual([])
  })

  it('searches a file that is named, through a link too, and a folder through a link', async () => {
    await mkdir(at('real'))
    await writeFile(at('real/file'), 'x\nneedle\n')
    await symlink('real/file', at('link'))
    await symlink('real', at('folder'))
    expect(await find('real/file', 'needle')).toEqual([['real/file', 2, 'needle']])
    expect(await find('link', 'needle')).toEqual([['link', 2, 'needle']])
    expect(await find('folder', 'needle')).toEqual([['folder/file', 2, 'needle']])
  })

  it('follows no link below, so that loops end, and waits for no pipe, socket or device', async () => {
    await mkdir(at('sub'))
    await writeFile(at('sub/file'), 'needle\n')
    await symlink('..', at('sub/loop'))
    await symlink('file', at('sub/again'))
    await symlink('/dev/zero', at('zero'))
    execFileSync('mkfifo', [at('pipe').toString()])
    if (process.getuid?.() === 0) execFileSync('mknod', [at('device').toString(), 'c', '1', '5'])
    expect(await find('.', 'needle')).toEqual([['sub/file', 1, 'needle']])
  })

  it.each(['pipe', '/dev/zero', 'link-to-pipe'])('refuses %s as the place to look', async (path) => {
    execFileSync('mkfifo', [at('pipe').toString()])
    await symlink('pipe', at('link-to-pipe'))
    expect(bodyOf(await call(path, 'needle'))).toMatchObject({ statusCode: 400, code: 'INVALID_FILE_PATH' })
  })

  it('leaves out files with a NUL in the first 512 bytes, and no others', async () => {
    await writeFile(at('binary'), 'needle\n\0needle\n')
    await writeFile(at('edge'), `${'x'.repeat(511)}\0\nneedle\n`)
    await writeFile(at('late'), `needle 1\n${'x'.repeat(600)}\0\nneedle 2\n`)
    await writeFile(at('later'), `needle 1\n${'x\n'.repeat(80_000)}\0\nneedle 2\n${'y'.repeat(90_000)}\nneedle 3`)
    expect(await find('.', 'needle')).toEqual([
      ['late', 1, 'needle 1'],
      ['late', 3, 'needle 2'],
      ['later', 1, 'needle 1'],
      ['later', 80_003, 'needle 2'],
      ['later', 80_005, 'needle 3'],
    ])
    expect(await find('binary', 'needle')).toEqual([])
  })

  it('cuts long lines and finds what stands deep inside them', async () => {
    const long = `${'é'.repeat(700)}${'x'.repeat(200_000)}needle${'y'.repeat(200_000)}`
    await writeFile(at('long'), `short needle\n${long}\nneedle\n`)
    await writeFile(at('exact'), `needle${'z'.repeat(1018)}\r\nneedle${'z'.repeat(1018)}z\n`)
    expect(await find('.', 'needle')).toEqual([
      ['exact', 1, `needle${'z'.repeat(1018)}`],
      ['exact', 2, `needle${'z'.repeat(1018)}`],
      ['long', 1, 'short needle'],
      ['long', 2, 'é'.repeat(512)],
      ['long', 3, 'needle'],
    ])
  })

  it('finds a text across the seam of two reads', async () => {
    for (const shift of [-5, -3, -1, 0, 1]) {
      await writeFile(at(`seam${shift}`), `${'x'.repeat(64 * 1024 + shift)}needle\n${'y\n'.repeat(70_000)}needle`)
    }
    const found = await find('.', 'needle')
    expect(found.map(([file, line]) => [file, line])).toEqual(
      ['seam-1', 'seam-3', 'seam-5', 'seam0', 'seam1'].flatMap((file) => [
        [file, 1],
        [file, 70_002],
      ]),
    )
  })

  it('finds a text of thousands of bytes', async () => {
    const text = `${'ab'.repeat(4000)}c`
    await writeFile(at('much'), `${'ab'.repeat(100_000)}\n${'ab'.repeat(50_000)}${text}\n`)
    expect((await find('.', text)).map(([file, line]) => [file, line])).toEqual([['much', 2]])
  })

  it('knows names with newlines, colons and bytes that are no UTF-8', async () => {
    const names = ['a\nb', '12:needle', ' ', 'x'.repeat(255), '日本', '-rf', 'x: binary file matches']
    for (const name of names) await writeFile(at(name), 'needle\n')
    await mkdir(at(Buffer.from([0xff, 0x0a])))
    await writeFile(at(Buffer.from([0xff, 0x0a, 0x2f, 0xfe])), 'needle \xff\n', 'latin1')
    const expected = [...names.map((name) => [name, 1, 'needle']), ['\ufffd\n/\ufffd', 1, 'needle \ufffd']]
    expect((await find('.', 'needle')).sort()).toEqual(expected.sort())
    const inside = await call(Buffer.from([0xff, 0x0a]), 'needle')
    expect(JSON.parse(inside.body.toString())).toHaveLength(1)
  })

  it('finds bytes that are no UTF-8', async () => {
    await writeFile(at('latin1'), 'caf\xe9\n', 'latin1')
    expect(await find('.', Buffer.from([0x66, 0xe9]))).toEqual([['latin1', 1, 'caf\ufffd']])
  })

  it('looks into deep trees', async () => {
    const deep = Array.from({ length: 300 }, () => 'd').join('/')
    await mkdir(at(deep), { recursive: true })
    await writeFile(at(`${deep}/file`), 'needle')
    expect(await find('.', 'needle')).toEqual([[`${deep}/file`, 1, 'needle']])
  })

  it('ends at the limit, which it tells', async () => {
    await writeFile(at('one'), 'needle\n'.repeat(MAX_MATCHES - 10))
    await writeFile(at('two'), 'needle\n'.repeat(100))
    const response = await call('.', 'needle')
    expect(response.headers['x-result-limit']).toBe(String(MAX_MATCHES))
    expect(JSON.parse(response.body.toString())).toHaveLength(MAX_MATCHES)
  })

  it('searches a large file without holding it', async () => {
    const held = collectedBufferBytes()
    await writeFile(at('large'), 'needle\n')
    await truncate(at('large'), 1024 * 1024 * 1024)
    await writeFile(at('other'), 'needle\n')
    expect(await find('.', 'needle')).toEqual([['other', 1, 'needle']])
    expect(process.memoryUsage().arrayBuffers - held).toBeLessThan(64 * 1024 * 1024)
  })

  it.each([
    ['missing', 404, 'FILE_NOT_FOUND'],
    ['file/below', 400, 'INVALID_FILE_PATH'],
    ['a\0b', 400, 'INVALID_FILE_PATH'],
  ])('refuses to look in %j', async (path, statusCode, code) => {
    await writeFile(at('file'), '')
    expect(bodyOf(await call(path, 'x'))).toMatchObject({ statusCode, code })
  })

  it('ends with a caller who leaves, and goes no faster than one who reads slowly', async () => {
    await Promise.all(
      Array.from({ length: 200 }, (_, index) => writeFile(at(`f${index}`), 'needle here\n'.repeat(490))),
    )
    await new Promise<void>((resolve, reject) => {
      const stream = toolbox.peer.request(
        { method: 'GET', path: target('/files/find', { path: '.', pattern: 'needle' }), headers: {} },
        {
          onResponse: () => {},
          onData() {
            stream.pause()
            stream.reset()
            resolve()
          },
          onEnd: () => reject(new Error('it was all sent at once')),
          onReset: reject,
        },
      )
      stream.end()
    })
    expect(await find('.', 'absent')).toEqual([])
    expect(toolbox.errors).toEqual([])
  })
})

describe('GNU grep itself', () => {
  it('answers, and has no reason to be replaced', async () => {
    await using bare = await createTestToolbox()
    toolbox = bare
    await mkdir(at('tree'))
    for (const name of ['one', 'a\nb']) await writeFile(at(`tree/${name}`), 'needle\n')
    const names = runGrep({
      program: (await findGrep(grepOnly)) ?? '',
      env: { GREP_OPTIONS: '--invalid' },
      folder: at('tree').toString('latin1'),
      text: 'needle',
      signal: new AbortController().signal,
    })
    const found = []
    for await (const batch of names) found.push(...batch)
    expect(found.sort()).toEqual(['a\nb', 'one'])
  })
})

describe('a program named grep', () => {
  const version = 'if [ "$1" = --version ]; then echo "grep (GNU grep) 3.8"; exit 0; fi'
  const fakes = {
    'that is not GNU’s': 'echo BusyBox',
    'that fails': `${version}; echo memory exhausted >&2; exit 2`,
    'that is killed after a file': `${version}; printf "./one\\000"; kill -9 $$`,
    'that ends in the middle': `${version}; printf "./one\\000./tw"`,
    'that names what is outside': `${version}; printf "/etc/passwd\\000"`,
    'that never ends a name': `${version}; printf ./; yes x | tr -d "\\n"`,
  }

  it.each(Object.entries(fakes))('%s is replaced, and nothing is told twice', async (_what, script) => {
    await using bare = await createTestToolbox({ PATH: '' })
    toolbox = bare
    await mkdir(at('bin'))
    await writeFile(at('bin/grep'), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`)
    await chmod(at('bin/grep'), 0o755)
    await mkdir(at('tree'))
    await writeFile(at('tree/one'), 'needle 1\nneedle 2\n')
    await writeFile(at('tree/two'), 'needle\n')
    await using faked = await createTestToolbox({ PATH: at('bin').toString() })
    const query = { path: at('tree').toString(), pattern: 'needle' }
    const response = await faked.call('GET', '/files/find', { query })
    const matches = Value.Parse(Matches, JSON.parse(response.body.toString()))
    expect(matches.map(({ file, line }) => `${file.at(-1)}${line}`).sort()).toEqual(['e1', 'e2', 'o1'])
    expect(faked.errors).toEqual([])
  })
})

describe('ripgrep itself', () => {
  it('answers, and has no reason to be replaced', async () => {
    await using bare = await createTestToolbox()
    toolbox = bare
    await mkdir(at('tree'))
    await writeFile(at('tree/one'), 'needle\n')
    const events = runRipgrep({
      program: (await findRipgrep(PATH)) ?? '',
      env: { PATH },
      folder: at('tree').toString('latin1'),
      text: 'needle',
      signal: new AbortController().signal,
    })
    const found = []
    for await (const batch of events) found.push(...batch)
    expect(found).toEqual([{ path: 'one', line: 1, start: Buffer.from('needle') }])
  })
})

describe('a program named rg', () => {
  const fakes = {
    'that is another': 'echo hello',
    'that fails': 'echo broken >&2; exit 2',
    'that is killed': 'printf "./one\\0001:needle 1\\n"; kill -9 $$',
    'that ends in the middle': 'printf "./one\\0001:needle 1\\n2:"',
    'that names what is outside': 'printf "/etc/passwd\\0001:needle\\n"',
    'that never ends a heading': 'printf ./; yes x | tr -d "\\n"',
  }

  it.each(Object.entries(fakes))('%s is replaced, and nothing is told twice', async (_what, script) => {
    await using bare = await createTestToolbox({ PATH: '' })
    toolbox = bare
    await mkdir(at('bin'))
    await writeFile(at('bin/rg'), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`)
    await chmod(at('bin/rg'), 0o755)
    await mkdir(at('tree'))
    await writeFile(at('tree/one'), 'needle 1\nneedle 2\n')
    await using faked = await createTestToolbox({ PATH: at('bin').toString() })
    const response = await faked.call('GET', '/files/find', {
      query: { path: at('tree').toString(), pattern: 'needle' },
    })
    const matches = Value.Parse(Matches, JSON.parse(response.body.toString()))
    expect(matches.map(({ line }) => line)).toEqual([1, 2])
    expect(faked.errors).toEqual([])
  })

  async function startEndless() {
    toolbox = await createTestToolbox({ PATH: '' })
    await mkdir(at('bin'))
    const pidFile = at('pid').toString()
    await writeFile(
      at('bin/rg'),
      `#!/bin/sh\nPATH=/usr/bin:/bin\necho $$ >${pidFile}.new\nmv ${pidFile}.new ${pidFile}\nexec sleep 600\n`,
    )
    await chmod(at('bin/rg'), 0o755)
    const faked = await createTestToolbox({ PATH: at('bin').toString() })
    const stop = new AbortController()
    const answered = faked.call('GET', '/files/find', { query: { path: '.', pattern: 'x' }, signal: stop.signal })
    // Both endings below make the call fail.
    answered.catch(() => {})
    const readPid = () => readFile(pidFile, 'utf8').catch(() => '')
    await expect.poll(readPid).not.toBe('')
    return { faked, stop, pid: Number(await readPid()) }
  }

  const isGone = (pid: number) => () => !existsSync(`/proc/${pid}/fd`)

  it('that never ends is ended when its caller leaves, and with the toolbox', async () => {
    const left = await startEndless()
    left.stop.abort()
    await expect.poll(isGone(left.pid)).toBe(true)
    expect(left.faked.errors).toEqual([])
    await left.faked[Symbol.asyncDispose]()
    await toolbox[Symbol.asyncDispose]()
    const stopped = await startEndless()
    await stopped.faked[Symbol.asyncDispose]()
    await expect.poll(isGone(stopped.pid)).toBe(true)
    await toolbox[Symbol.asyncDispose]()
  })
})
