import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openLogFile } from './log-file.ts'
import { LINE_MAX_CHARACTERS, readLines } from './read-lines.ts'

const isRoot = process.getuid?.() === 0
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-log-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('openLogFile', () => {
  it('keeps the file it fills and the one before, each within its bound', () => {
    const path = join(folder, 'api.log')
    const log = openLogFile(path, 10)
    for (const text of ['one', 'two', 'three', 'four', 'five']) log.append(text)
    log.close()
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('three\n')
    expect(readFileSync(path, 'utf8')).toBe('four\nfive\n')
  })

  it('goes on where an earlier run ended', () => {
    const path = join(folder, 'api.log')
    for (const text of ['one', 'two']) {
      const log = openLogFile(path)
      log.append(text)
      log.close()
    }
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
  })

  it.runIf(isRoot)('outlives a full disk, and says how many lines it cost', () => {
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'none', folder])
    try {
      const path = join(folder, 'api.log')
      const log = openLogFile(path)
      log.append('before')
      // The log has one page of the disk already; the ballast takes the other.
      writeFileSync(join(folder, 'ballast'), 'x'.repeat(4096))
      for (const text of ['a', 'b', 'c']) log.append(text.repeat(4096))
      rmSync(join(folder, 'ballast'))
      log.append('after')
      log.close()
      const [first, cut, ...rest] = readFileSync(path, 'utf8').split('\n')
      expect([first, ...rest]).toEqual(['before', '3 lines before this one could not be written', 'after', ''])
      expect(cut).toMatch(/^a+$/)
    } finally {
      spawnSync('umount', [folder])
    }
  })
})

describe('readLines', () => {
  it('gives whole lines, cuts long ones, and ends with what has no newline', () => {
    const stream = new PassThrough()
    const lines: string[] = []
    readLines(stream, (line) => lines.push(line))
    stream.write('a\nb')
    stream.write(`c\n${'x'.repeat(LINE_MAX_CHARACTERS)}`)
    stream.write(`yy\n`)
    stream.end('last')
    return new Promise<void>((resolve) => stream.once('close', resolve)).then(() => {
      expect(lines.map((line) => line.slice(0, 4))).toEqual(['a', 'bc', 'xxxx', 'last'])
      expect(lines[2]).toHaveLength(LINE_MAX_CHARACTERS)
    })
  })
})
