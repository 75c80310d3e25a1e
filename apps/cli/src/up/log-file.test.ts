import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openLogFile } from './log-file.ts'
import { LINE_MAX_CHARACTERS, readLines } from './read-lines.ts'

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
