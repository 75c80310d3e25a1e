import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ownRepository } from '../testing/call-git.ts'

const { calls, git, file, commit, committed } = ownRepository()
const checkout = (branch: string) => calls.post('checkout', { path: 'repo', branch })
const create = (name: string) => calls.post('branches', { path: 'repo', name })
const remove = (name: string) => calls.remove('branches', { path: 'repo', name })
const branches = async () => (await calls.get('branches', { path: 'repo' })).body

describe('init', () => {
  it('makes folders, bare ones too, and no repository twice', async () => {
    expect(await calls.post('init', { path: 'a/b/bare', bare: true })).toMatchObject({ status: 200 })
    expect(existsSync(calls.at('a/b/bare/HEAD'))).toBe(true)
    for (const path of ['a/b/bare', 'repo']) {
      expect(await calls.post('init', { path })).toMatchObject({ status: 409, code: 'GIT_REPO_EXISTS' })
    }
    await mkdir(file('inner'))
    expect(await calls.post('init', { path: 'repo/inner' })).toMatchObject({ status: 200 })
    await writeFile(calls.at('file'), '')
    expect(await calls.post('init', { path: 'file' })).toMatchObject({ status: 409, code: 'FILE_EXISTS' })
    expect(await calls.post('init', { path: 'x', initial_branch: '-b' })).toMatchObject({ code: 'VALIDATION_FAILED' })
    expect(await calls.post('init', { path: '--bare' })).toMatchObject({ status: 200 })
    expect(existsSync(calls.at('--bare/.git'))).toBe(true)
  })
})

describe('branches', () => {
  it('are made where HEAD is, checked out, listed and deleted', async () => {
    await committed('a', '1')
    expect(await create('feature/ü.x')).toMatchObject({ status: 200, body: undefined })
    expect(await branches()).toEqual({ branches: ['feature/ü.x', 'main'], current: 'feature/ü.x' })
    await committed('a', '2')
    expect(await remove('feature/ü.x')).toMatchObject({ status: 409, code: 'CONFLICT' })
    expect(await checkout('main')).toMatchObject({ status: 200, body: undefined })
    expect(await remove('feature/ü.x')).toMatchObject({ status: 200, body: undefined })
    expect(await branches()).toEqual({ branches: ['main'], current: 'main' })
  })

  it('exist once, and need something to be on', async () => {
    expect(await create('other')).toMatchObject({ status: 200 })
    expect(await branches()).toEqual({ branches: [], current: 'other' })
    await committed('a', '1')
    expect(await create('other')).toMatchObject({ status: 409, code: 'GIT_BRANCH_EXISTS' })
    expect(await create('other/below')).toMatchObject({ status: 409, code: 'GIT_BRANCH_EXISTS' })
    expect(await remove('missing')).toMatchObject({ status: 404, code: 'GIT_BRANCH_NOT_FOUND' })
    expect(await checkout('missing')).toMatchObject({ status: 404, code: 'GIT_BRANCH_NOT_FOUND' })
  })

  it.each([
    '-d',
    '--orphan',
    '',
    'a b',
    'a..b',
    '@{-1}',
    '@',
    'a~1',
    'a.lock',
    '.a',
    'a\nb',
    'a\0b',
    'a:b',
    '/a',
    'a//b',
  ])('are not called %j', async (name) => {
    await committed('a', '1')
    for (const answer of [await create(name), await remove(name)]) {
      expect(answer).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    }
    expect(await branches()).toEqual({ branches: ['main'], current: 'main' })
  })
})

describe('checkout', () => {
  it('takes a branch before a commit or tag, and never a file', async () => {
    const first = await committed('file', '1')
    git('tag', 'v1')
    await committed('file', '2')
    for (const revision of [first, first.slice(0, 8), 'v1', 'main~1']) {
      expect(await checkout(revision)).toMatchObject({ status: 200 })
      expect(await readFile(file('file'), 'utf8')).toBe('1')
      expect(await branches()).toEqual({ branches: ['main'], current: '' })
      expect(await checkout('main')).toMatchObject({ status: 200 })
    }
    await writeFile(file('file'), 'changed')
    expect(await checkout('file')).toMatchObject({ status: 404, code: 'GIT_BRANCH_NOT_FOUND' })
    expect(await readFile(file('file'), 'utf8')).toBe('changed')
    for (const option of ['-f', '--force', '-', '-bx']) {
      expect(await checkout(option)).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    }
  })

  it('does not write over changes, nor over files it does not know', async () => {
    await committed('file', '1')
    await create('other')
    await committed('file', '2')
    await committed('new', '2')
    await checkout('main')
    await writeFile(file('file'), 'changed')
    expect(await checkout('other')).toMatchObject({ status: 409, code: 'GIT_DIRTY_WORKTREE' })
    git('checkout', '--quiet', '--', 'file')
    await writeFile(file('new'), 'mine')
    expect(await checkout('other')).toMatchObject({ status: 409, code: 'GIT_DIRTY_WORKTREE' })
    expect(await readFile(file('new'), 'utf8')).toBe('mine')
  })
})

describe('history', () => {
  it('lists commits newest first, messages whole', async () => {
    const first = await committed('a', '1')
    const { body } = await commit({ message: 'subject\n\nbody\n\x01 odd', allow_empty: true })
    const { body: history } = await calls.get('history', { path: 'repo' })
    const timestamp = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/)
    const by = { author: 'Ada', email: 'ada@example.com', timestamp }
    expect(history).toEqual([
      { hash: Object(body).hash, message: 'subject\n\nbody\n\x01 odd', ...by },
      { hash: first, message: 'a: 1', ...by },
    ])
  })
})
