import { execFileSync } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ownRepository } from '../testing/call-git.ts'

const { calls, git, file, add, commit, committed } = ownRepository()
const porcelain = () => git('status', '--porcelain').split('\n').filter(Boolean)

describe('add', () => {
  it('stages what is named and nothing else, or everything with a dot, deletions too', async () => {
    for (const name of ['a', 'b', 'c']) await writeFile(file(name), name)
    expect(await add('a', './b')).toMatchObject({ status: 200, body: undefined })
    expect(porcelain()).toEqual(['A  a', 'A  b', '?? c'])
    await add('.')
    await commit()
    await rm(file('a'))
    await rm(file('b'))
    expect(await add('a')).toMatchObject({ status: 200 })
    expect(porcelain()).toEqual(['D  a', ' D b'])
    await add('.')
    expect(porcelain()).toEqual(['D  a', 'D  b'])
  })

  it('takes names as they are', async () => {
    const odd = ['*', '-A', ':(top)x', 'a\nb', '[x]', ' ', '"q"', 'ü']
    for (const name of [...odd, 'x', 'plain']) await writeFile(file(name), '')
    expect(await add(...odd)).toMatchObject({ status: 200 })
    const staged = execFileSync('git', ['diff', '--cached', '--name-only', '-z'], {
      cwd: calls.at('repo'),
      encoding: 'utf8',
    })
    expect(staged.split('\0').filter(Boolean).sort()).toEqual([...odd].sort())
  })

  it('of no file stages none', async () => {
    await writeFile(file('a'), '')
    expect(await add()).toMatchObject({ status: 200 })
    expect(porcelain()).toEqual(['?? a'])
  })

  it('of thousands of files does not end at the length of a command line', async () => {
    const names = Array.from({ length: 3_000 }, (_, index) => `${'long-name-'.repeat(10)}${index}`)
    await Promise.all(names.map((name) => writeFile(file(name), '')))
    expect(await add(...names)).toMatchObject({ status: 200 })
    expect(porcelain()).toHaveLength(3_000)
  })

  it.each([
    ['a file that is not there', ['missing'], 404, 'FILE_NOT_FOUND'],
    ['a file that is ignored', ['ignored'], 400, 'VALIDATION_FAILED'],
    ['a file outside', ['../outside'], 400, 'VALIDATION_FAILED'],
    ['a NUL', ['a\0b'], 400, 'VALIDATION_FAILED'],
    ['an empty name', [''], 400, 'VALIDATION_FAILED'],
  ])('of %s is refused', async (...[, files, status, code]) => {
    await writeFile(file('.gitignore'), 'ignored\n')
    await writeFile(file('ignored'), '')
    await writeFile(calls.at('outside'), '')
    expect(await add(...files)).toMatchObject({ status, code })
    expect(porcelain()).toEqual(['?? .gitignore'])
  })
})

describe('commit', () => {
  it('answers with the hash, and has the author for committer too', async () => {
    await writeFile(file('a'), '')
    await add('a')
    const message = '# not a comment\n\n"quotes" $HOME `id`\n-x\nü 🦀'
    const { status, body } = await commit({ message })
    expect(status).toBe(200)
    expect(body).toEqual({ hash: git('rev-parse', 'HEAD').trim() })
    expect(git('log', '-1', '--format=%an|%ae|%cn|%ce|%B')).toBe(
      `Ada|ada@example.com|Ada|ada@example.com|${message}\n\n`,
    )
    expect(porcelain()).toEqual([])
  })

  it('of nothing is a conflict, unless it may be empty', async () => {
    expect(await commit()).toMatchObject({ status: 409, code: 'GIT_NOTHING_TO_COMMIT' })
    await writeFile(file('a'), '')
    expect(await commit()).toMatchObject({ status: 409, code: 'GIT_NOTHING_TO_COMMIT' })
    expect(await commit({ allow_empty: true })).toMatchObject({ status: 200 })
    expect(git('rev-list', '--count', 'HEAD')).toBe('1\n')
  })

  it.each([
    ['O\'Brien "Bob" <x>\nEve', 'a b\n<c>@example.com'],
    ['-n', '--amend'],
    ['日本 🦀', ''],
    ['$(id)', '%ae'],
  ])('may come from %j <%j>', async (name, email) => {
    expect(await commit({ author: name, email, allow_empty: true })).toMatchObject({ status: 200 })
    const [commitInfo] = Object((await calls.get('history', { path: 'repo' })).body)
    const kept = (text: string) => text.replaceAll(/[<>\n]/g, '')
    expect(commitInfo).toMatchObject({ author: kept(name).trim(), email: kept(email) })
  })

  it.each([
    { author: '' },
    { author: '<>' },
    { author: 'a\0' },
    { message: '' },
    { message: ' \n' },
    { message: 'a\0' },
  ])('%j is a 400', async (more) => {
    expect(await commit({ allow_empty: true, ...more })).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
  })

  it('that a hook refuses has its words', async () => {
    await writeFile(file('.git/hooks/pre-commit'), '#!/bin/sh\necho "format first" >&2; exit 1\n', { mode: 0o755 })
    const answer = await commit({ allow_empty: true })
    expect(answer).toMatchObject({ status: 409, code: 'CONFLICT' })
    expect(answer.message).toContain('format first')
  })

  it('takes a message of a megabyte', async () => {
    const message = 'x'.repeat(1024 * 1024)
    expect(await commit({ message, allow_empty: true })).toMatchObject({ status: 200 })
    expect(git('log', '-1', '--format=%s').length).toBe(message.length + 1)
  })
})

describe('reset', () => {
  const reset = (more: object) => calls.post('reset', { path: 'repo', ...more })

  it('unstages everything, or what is named', async () => {
    await writeFile(file('a'), '')
    await writeFile(file('b'), '')
    await add('.')
    expect(await reset({})).toMatchObject({ status: 200 })
    expect(porcelain()).toEqual(['?? a', '?? b'])
    await committed('c', '1')
    await add('a', 'b')
    expect(await reset({ files: ['a'] })).toMatchObject({ status: 200 })
    expect(porcelain()).toEqual(['A  b', '?? a'])
  })

  it.each([
    ['soft', ['M  a']],
    ['mixed', [' M a']],
    ['hard', []],
    ['keep', []],
    ['merge', []],
  ])('%s moves the branch', async (mode, left) => {
    const first = await committed('a', '1')
    await committed('a', '2')
    expect(await reset({ mode, target: 'HEAD~1' })).toMatchObject({ status: 200 })
    expect(git('rev-parse', 'main').trim()).toBe(first)
    expect(porcelain()).toEqual(left)
  })

  it('refuses what it does not know', async () => {
    await committed('a', '1')
    expect(await reset({ mode: 'gentle' })).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await reset({ mode: 'hard', files: ['a'] })).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await reset({ target: 'nope' })).toMatchObject({ status: 404, code: 'GIT_REF_NOT_FOUND' })
    expect(await reset({ target: '--hard' })).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
  })
})

describe('restore', () => {
  const restore = (more: object) => calls.post('restore', { path: 'repo', files: ['a'], ...more })

  it('undoes in the working tree, in what is staged, or from a commit', async () => {
    const first = await committed('a', '1')
    await committed('a', '2')
    await writeFile(file('a'), '3')
    await add('a')
    expect(await restore({ staged: true })).toMatchObject({ status: 200 })
    expect(porcelain()).toEqual([' M a'])
    expect(await restore({})).toMatchObject({ status: 200 })
    expect(await readFile(file('a'), 'utf8')).toBe('2')
    expect(await restore({ source: first, staged: true, worktree: true })).toMatchObject({ status: 200 })
    expect(porcelain()).toEqual(['M  a'])
    expect(await readFile(file('a'), 'utf8')).toBe('1')
  })

  it('refuses what is not there', async () => {
    expect(await restore({ files: ['missing'] })).toMatchObject({ status: 404, code: 'FILE_NOT_FOUND' })
    await committed('a', '1')
    expect(await restore({ files: [] })).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await restore({ worktree: false })).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await restore({ source: 'nope' })).toMatchObject({ status: 404, code: 'GIT_REF_NOT_FOUND' })
  })
})

describe('two at once', () => {
  it('on one repository both get their turn', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `file${index}`)
    await Promise.all(names.map((name) => writeFile(file(name), name)))
    const answers = await Promise.all(names.map((name) => add(name)))
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200))
    expect(porcelain()).toHaveLength(8)
  })

  it('with a lock that stays is a conflict which says so', async () => {
    await writeFile(file('.git/index.lock'), '')
    await writeFile(file('a'), '')
    expect(await add('a')).toMatchObject({
      status: 409,
      code: 'GIT_LOCKED',
      message: expect.stringContaining('index.lock'),
    })
  })

  it('with a lock that goes away waits for it', async () => {
    await writeFile(file('.git/index.lock'), '')
    await writeFile(file('a'), '')
    const adding = add('a')
    setImmediate(() => execFileSync('sh', ['-c', 'sleep 0.3; rm .git/index.lock'], { cwd: calls.at('repo') }))
    expect(await adding).toMatchObject({ status: 200 })
  })
})
