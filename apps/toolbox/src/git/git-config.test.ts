import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ownRepository } from '../testing/call-git.ts'

const { calls, git } = ownRepository()

describe('configuration', () => {
  it('is read and written in its scope', async () => {
    const local = { scope: 'local', path: 'repo' }
    expect((await calls.get('config', { key: 'user.name' })).body).toEqual({ value: null })
    expect(await calls.post('config/user', { name: 'Ada', email: 'ada@example.com' })).toMatchObject({ status: 200 })
    expect(await calls.post('config', { key: 'user.name', value: 'Eve', ...local })).toMatchObject({ status: 200 })
    expect((await calls.get('config', { key: 'user.name' })).body).toEqual({ value: 'Ada' })
    expect((await calls.get('config', { key: 'user.name', ...local })).body).toEqual({ value: 'Eve' })
    expect(await readFile(calls.at('.gitconfig'), 'utf8')).toContain('email = ada@example.com')
  })

  it.each(['-x', '--get', ' space ', 'line\nline', '"quoted" # ; \\', 'ü', ''])('may be %j', async (value) => {
    expect(await calls.post('config', { key: 'alias.odd', value })).toMatchObject({ status: 200 })
    expect((await calls.get('config', { key: 'alias.odd' })).body).toEqual({ value })
  })

  it('replaces several values by one', async () => {
    git('config', '--add', 'remote.x.fetch', 'a')
    git('config', '--add', 'remote.x.fetch', 'b')
    const place = { key: 'remote.x.fetch', scope: 'local', path: 'repo' }
    expect((await calls.get('config', place)).body).toEqual({ value: 'b' })
    await calls.post('config', { ...place, value: 'c' })
    expect(git('config', '--get-all', 'remote.x.fetch')).toBe('c\n')
  })

  it.each([
    { scope: 'planet' },
    { scope: 'local' },
    { key: 'nosection' },
    { key: '--list' },
    { key: 'a.b c' },
    { key: 'a.b\n' },
  ])('%j is a 400', async (more) => {
    const request = { key: 'user.name', ...more }
    expect(await calls.get('config', request)).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await calls.post('config', { value: 'x', ...request })).toMatchObject({
      status: 400,
      code: 'VALIDATION_FAILED',
    })
  })

  it('of no repository is a 404', async () => {
    const nowhere = { key: 'user.name', scope: 'local', path: '.' }
    expect(await calls.get('config', nowhere)).toMatchObject({ status: 404, code: 'GIT_REPO_NOT_FOUND' })
    expect(await calls.post('config', { ...nowhere, value: 'x' })).toMatchObject({ code: 'GIT_REPO_NOT_FOUND' })
    expect(await calls.get('remotes', { path: '.' })).toMatchObject({ code: 'GIT_REPO_NOT_FOUND' })
  })
})

describe('credentials to keep', () => {
  it('are for github.com unless told otherwise', async () => {
    expect(await calls.post('credentials', { username: 'ada', password: 'a:b@c/d' })).toMatchObject({ status: 200 })
    expect(await readFile(calls.at('.git-credentials'), 'utf8')).toBe('https://ada:a%3ab%40c%2fd@github.com\n')
  })

  it.each([{ host: 'a\nb' }, { host: 'a/b' }, { protocol: 'x y' }, { username: 'a\nhost=x' }, { password: 'a\0b' }])(
    '%j are a 400',
    async (more) => {
      const answer = await calls.post('credentials', { username: 'ada', password: 'x', ...more })
      expect(answer).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
      expect(existsSync(calls.at('.git-credentials'))).toBe(false)
    },
  )
})
