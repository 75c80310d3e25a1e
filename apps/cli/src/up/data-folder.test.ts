import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { prepareDataFolder, readOrMakeRunnerToken } from './data-folder.ts'
import { makeDialHomeFolder } from './dial-home-folder.ts'

let temp: string

beforeEach(() => {
  temp = mkdtempSync(join(tmpdir(), 'atoll-folder-'))
})
afterEach(() => rmSync(temp, { recursive: true }))

describe('the data folder', () => {
  it('is made with its parents, for its owner only', () => {
    prepareDataFolder(join(temp, 'a/b'))
    expect(modeOf(join(temp, 'a/b'))).toBe(0o700)
  })

  it('is closed when it is empty and open to others', () => {
    chmodSync(temp, 0o755)
    prepareDataFolder(temp)
    expect(modeOf(temp)).toBe(0o700)
  })

  it('is refused, and left as it is, when it is open to others and holds something', () => {
    chmodSync(temp, 0o755)
    writeFileSync(join(temp, 'letter'), '')
    expect(() => prepareDataFolder(temp)).toThrow(`data folder ${temp} is open to other users`)
    expect(modeOf(temp)).toBe(0o755)
  })

  it('cannot be a file', () => {
    writeFileSync(join(temp, 'file'), '')
    expect(() => prepareDataFolder(join(temp, 'file'))).toThrow(`data folder ${join(temp, 'file')} cannot be used`)
  })

  it('keeps one runner token', () => {
    const token = readOrMakeRunnerToken(temp)
    expect(token).toMatch(/^atr_[0-9a-f]{64}$/)
    expect(readOrMakeRunnerToken(temp)).toBe(token)
    expect(modeOf(join(temp, 'runner-token'))).toBe(0o600)
  })
})

describe('the dial-home folder', () => {
  it('lies in the data folder and can be entered by sandboxes', () => {
    const { path } = makeDialHomeFolder(temp, temp)
    expect(path).toBe(join(temp, 'dial-home'))
    expect(modeOf(path)).toBe(0o755)
  })

  it('lies in the temp folder, and goes with its owner, when the path would be too long for a socket', () => {
    const folder = makeDialHomeFolder(join(temp, 'x'.repeat(100)), temp)
    expect(folder.path).toMatch(/\/atoll-[0-9a-f]{16}$/)
    expect(makeDialHomeFolder(join(temp, 'x'.repeat(100)), temp).path).toBe(folder.path)
    folder.remove()
    expect(() => statSync(folder.path)).toThrow('ENOENT')
  })

  it('is refused where someone laid a link under its name', () => {
    const longDir = join(temp, 'x'.repeat(100))
    const { path, remove } = makeDialHomeFolder(longDir, temp)
    remove()
    mkdirSync(join(temp, 'elsewhere'))
    symlinkSync(join(temp, 'elsewhere'), path)
    expect(() => makeDialHomeFolder(longDir, temp)).toThrow(path)
  })
})

function modeOf(path: string): number {
  return statSync(path).mode & 0o777
}
