import { describe, expect, it } from 'vitest'
import { compileIgnore } from './ignore-patterns.ts'

describe('ignore patterns', () => {
  it.each([
    ['node_modules', 'node_modules', true],
    ['node_modules', 'a/b/node_modules', true],
    ['node_modules', 'node_modules_2', false],
    ['*.log,*.tmp', 'a/x.tmp', true],
    ['*.log', 'a/.log', true],
    ['build/**', 'build', true],
    ['build/**', 'build/a/b', true],
    ['build/**', 'a/build', false],
    ['**/build/**', 'a/build/c', true],
    ['**/build/**', 'build', true],
    ['a/*/c', 'a/b/c', true],
    ['a/*/c', 'a/b/b/c', false],
    ['a/**/c', 'a/c', true],
    ['a/**/c', 'a/b/b/c', true],
    ['a/**/c/**/d', 'a/c/x/c/d', true],
    ['/top', 'top', true],
    ['/top', 'a/top', false],
    ['./top', 'top', true],
    ['**', 'a', true],
    ['', 'a', false],
    [',,', 'a', false],
  ])('%s of %s: %s', (patterns, path, ignored) => {
    expect(compileIgnore(patterns)(path)).toBe(ignored)
  })

  it('take little time for any path', () => {
    const ignored = compileIgnore(`${'**/a/'.repeat(100)}b`)
    expect(ignored('a/'.repeat(2000))).toBe(false)
  })

  it('are refused when they are too many, or no patterns', () => {
    expect(() => compileIgnore('a,'.repeat(65))).toThrow('64 patterns')
    expect(() => compileIgnore('[a')).toThrow()
  })
})
