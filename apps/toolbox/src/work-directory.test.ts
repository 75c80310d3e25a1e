import { AppError } from '@atoll/protocol'
import { describe, expect, it } from 'vitest'
import { createWorkDirectory } from './work-directory.ts'

const work = createWorkDirectory({ dir: '/work', home: '/home/daytona' })
const resolve = (path: string) => work.resolve(path).toString()

describe('createWorkDirectory', () => {
  it.each([
    ['a.txt', '/work/a.txt'],
    ['', '/work'],
    ['/etc/hosts', '/etc/hosts'],
    ['~', '/home/daytona'],
    ['~/x', '/home/daytona/x'],
    ['~user/x', '/work/~user/x'],
    ['./~', '/work/./~'],
    ['../x', '/work/../x'],
  ])('resolves %j to %j', (path, expected) => expect(resolve(path)).toBe(expected))

  it('starts at the root without doubling its slash', () => {
    expect(createWorkDirectory({ dir: '/', home: '/' }).resolve('x').toString()).toBe('/x')
  })

  it('keeps bytes that are no UTF-8', () => {
    expect(work.resolve(Buffer.from([0xff, 0x61])).subarray(6)).toEqual(Buffer.from([0xff, 0x61]))
  })

  it.each([
    ['a NUL byte', 'a\0b', 'NUL'],
    ['a component over 255 bytes', `dir/${'x'.repeat(256)}`, '255 bytes'],
    ['256 bytes in fewer characters', 'é'.repeat(128), '255 bytes'],
    ['a path over PATH_MAX', 'x/'.repeat(2048), '4095 bytes'],
  ])('refuses %s', (_what, path, words) => {
    expect(() => work.resolve(path)).toThrow(AppError)
    expect(() => work.resolve(path)).toThrow(words)
  })

  it('takes a component of 255 bytes and a path of 4095', () => {
    expect(resolve('x'.repeat(255))).toHaveLength(6 + 255)
    const longest = `/${'y/'.repeat(2047)}`
    expect(resolve(longest)).toBe(longest)
  })
})
