import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GitCalls } from '../testing/call-git.ts'
import { gitCalls } from '../testing/call-git.ts'
import type { GitRemote } from '../testing/git-remote.ts'
import { gitIn, startGitRemote } from '../testing/git-remote.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { createTestToolbox } from '../testing/test-toolbox.ts'

const ada = { username: 'ada', password: 'secret-9c21' }
const author = { author: 'Ada', email: 'ada@example.com' }

let remote: GitRemote
let toolbox: TestToolbox
let calls: GitCalls
let bare: string
beforeEach(async () => {
  remote = await startGitRemote({ credentials: ada })
  bare = remote.create('project', (git) => {
    git('commit', '--quiet', '--allow-empty', '-m', 'one')
    git('push', '--quiet', 'origin', 'main')
  })
  toolbox = await createTestToolbox()
  calls = gitCalls(toolbox)
  expect(await calls.post('clone', { url: remote.url('project'), path: 'copy', ...ada })).toMatchObject({ status: 200 })
})
afterEach(async () => {
  await toolbox[Symbol.asyncDispose]()
  await remote[Symbol.asyncDispose]()
})

const pull = (more: object = ada) => calls.post('pull', { path: 'copy', ...more })
const push = (more: object = ada) => calls.post('push', { path: 'copy', ...more })
const subject = (folder: string, revision = 'HEAD') => gitIn(folder)('log', '-1', '--format=%s', revision).trim()

async function commitHere(file: string, content: string, message = content): Promise<void> {
  await writeFile(calls.at(`copy/${file}`), content)
  await calls.post('add', { path: 'copy', files: [file] })
  expect(await calls.post('commit', { path: 'copy', message, ...author })).toMatchObject({ status: 200 })
}

/** Commits and pushes from another clone, as another person would. */
async function commitThere(file: string, content: string): Promise<void> {
  const folder = join(remote.folder, 'project-work')
  await writeFile(join(folder, file), content)
  for (const args of [
    ['add', '.'],
    ['commit', '--quiet', '-m', content],
    ['push', '--quiet', 'origin', 'main'],
  ]) {
    gitIn(folder)(...args)
  }
}

describe('a push', () => {
  it('brings commits to the remote, and has nothing to do the second time', async () => {
    await commitHere('file', 'two')
    expect((await calls.get('status', { path: 'copy' })).body).toMatchObject({ ahead: 1, behind: 0 })
    expect(await push()).toMatchObject({ status: 200, body: undefined })
    expect(subject(bare, 'main')).toBe('two')
    expect((await calls.get('status', { path: 'copy' })).body).toMatchObject({ ahead: 0 })
    expect(await push()).toMatchObject({ status: 200 })
  })

  it('of a new branch can set its upstream', async () => {
    await calls.post('branches', { path: 'copy', name: 'feature/x' })
    await commitHere('file', 'two')
    expect(await push()).toMatchObject({ status: 200 })
    expect((await calls.get('status', { path: 'copy' })).body).toMatchObject({ branchPublished: false })
    expect(await push({ ...ada, set_upstream: true })).toMatchObject({ status: 200 })
    expect((await calls.get('status', { path: 'copy' })).body).toMatchObject({
      branchPublished: true,
      upstream: 'origin/feature/x',
    })
    expect(subject(bare, 'feature/x')).toBe('two')
  })

  it('may name a branch that is not checked out, and another remote', async () => {
    const other = remote.create('other')
    await calls.post('remotes', { path: 'copy', name: 'backup', url: remote.url('other') })
    await calls.post('branches', { path: 'copy', name: 'aside' })
    expect(await push({ ...ada, branch: 'main', remote: 'backup' })).toMatchObject({ status: 200 })
    expect(gitIn(other)('branch', '--format=%(refname:short)')).toBe('main\n')
  })

  it('that is behind is rejected, by name', async () => {
    await commitThere('file', 'theirs')
    await commitHere('other', 'ours')
    const answer = await push()
    expect(answer).toMatchObject({ status: 409, code: 'GIT_PUSH_REJECTED' })
    expect(answer.message).toContain('main was rejected: fetch first')
    expect(subject(bare, 'main')).toBe('theirs')
  })

  it('that a hook of the remote refuses has its words', async () => {
    await writeFile(join(bare, 'hooks/pre-receive'), '#!/bin/sh\necho "no pushes on Fridays"; exit 1\n', {
      mode: 0o755,
    })
    await commitHere('file', 'two')
    const answer = await push()
    expect(answer).toMatchObject({ status: 422, code: 'GIT_REMOTE_REJECTED' })
    expect(answer.message).toContain('pre-receive hook declined')
    expect(answer.message).toContain('no pushes on Fridays')
    expect(subject(bare, 'main')).toBe('one')
  })

  it.each([
    ['without credentials', {}, 401, 'GIT_AUTH_FAILED'],
    ['with wrong ones', { ...ada, password: 'wrong-3d' }, 401, 'GIT_AUTH_FAILED'],
    ['of a branch that is not there', { ...ada, branch: 'nope' }, 404, 'GIT_BRANCH_NOT_FOUND'],
    ['to a remote that is not there', { ...ada, remote: 'nobody' }, 404, 'GIT_REMOTE_NOT_FOUND'],
    ['to an option', { ...ada, remote: '--receive-pack=x' }, 400, 'VALIDATION_FAILED'],
    ['of an option', { ...ada, branch: '--force' }, 400, 'VALIDATION_FAILED'],
    ['of a refspec', { ...ada, branch: '+main:main' }, 400, 'VALIDATION_FAILED'],
    ['to an URL', { ...ada, remote: 'ext::sh -c id' }, 400, 'VALIDATION_FAILED'],
  ])('%s is refused', async (...[, request, status, code]) => {
    await commitHere('file', 'two')
    const answer = await push(request)
    expect(answer).toMatchObject({ status, code })
    expect(answer.message).not.toMatch(/wrong-3d|secret-9c21/)
    expect(subject(bare, 'main')).toBe('one')
  })

  it('to a server that is not one of git, or may not be written to, says which', async () => {
    remote.answerWith = 403
    expect(await push()).toMatchObject({ status: 403, code: 'FORBIDDEN' })
    remote.answerWith = 502
    expect(await push()).toMatchObject({ status: 502, code: 'GIT_TRANSPORT_FAILED' })
    remote.answerWith = 200
    expect((await push()).status).toBeGreaterThanOrEqual(400)
  })
})

describe('a pull', () => {
  it('brings the remote in, and has nothing to do the second time', async () => {
    await commitThere('file', 'two')
    expect(await pull()).toMatchObject({ status: 200, body: undefined })
    expect(await readFile(calls.at('copy/file'), 'utf8')).toBe('two')
    expect(await pull()).toMatchObject({ status: 200 })
    expect(await pull({})).toMatchObject({ status: 401, code: 'GIT_AUTH_FAILED' })
  })

  it('merges what both sides did, as the user that is configured', async () => {
    await commitThere('theirs', 'theirs')
    await commitHere('ours', 'ours')
    const nobody = await pull()
    expect(nobody).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    await calls.post('config/user', { name: 'Ada', email: 'ada@example.com' })
    expect(await pull()).toMatchObject({ status: 200 })
    expect(calls.inside('copy')('log', '-1', '--format=%an %p').trim().split(' ')).toHaveLength(3)
    expect(calls.inside('copy')('log', '-1', '--format=%B')).not.toContain(ada.password)
  })

  it('leaves a conflict to be solved', async () => {
    await commitThere('file', 'theirs')
    await commitHere('file', 'ours')
    await calls.post('config/user', { name: 'Ada', email: 'ada@example.com' })
    const answer = await pull()
    expect(answer).toMatchObject({ status: 409, code: 'GIT_MERGE_CONFLICT' })
    expect(answer.message).toContain('Merge conflict in file')
    expect((await calls.get('status', { path: 'copy' })).body).toMatchObject({
      fileStatus: [{ name: 'file', staging: 'Updated but unmerged', worktree: 'Updated but unmerged' }],
    })
    expect(await pull()).toMatchObject({ status: 409, code: 'GIT_MERGE_CONFLICT' })
    expect(await calls.post('commit', { path: 'copy', message: 'x', ...author })).toMatchObject({
      status: 409,
      code: 'GIT_MERGE_CONFLICT',
    })
    await commitHere('file', 'both', 'solved')
    expect(await push()).toMatchObject({ status: 200 })
    expect(subject(bare, 'main')).toBe('solved')
  })

  it('does not write over what is not committed', async () => {
    await commitThere('file', 'theirs')
    await writeFile(calls.at('copy/file'), 'mine')
    expect(await pull()).toMatchObject({ status: 409, code: 'GIT_DIRTY_WORKTREE' })
    expect(await readFile(calls.at('copy/file'), 'utf8')).toBe('mine')
  })

  it('takes the branch of the same name where no upstream is set, or the one that is named', async () => {
    const work = join(remote.folder, 'project-work')
    gitIn(work)('checkout', '--quiet', '-b', 'side')
    await writeFile(join(work, 'side'), 'side')
    gitIn(work)('add', '.')
    gitIn(work)('commit', '--quiet', '-m', 'aside')
    gitIn(work)('push', '--quiet', 'origin', 'side')
    expect(await pull({ ...ada, branch: 'side', remote: 'origin' })).toMatchObject({ status: 200 })
    expect(subject(calls.at('copy'))).toBe('aside')
    await calls.post('branches', { path: 'copy', name: 'side' })
    await calls.post('reset', { path: 'copy', mode: 'hard', target: 'HEAD~1' })
    expect(await pull()).toMatchObject({ status: 200 })
    expect(subject(calls.at('copy'))).toBe('aside')
  })

  it('has to be told the branch when HEAD is detached, and one that is there', async () => {
    await calls.post('checkout', { path: 'copy', branch: 'HEAD~0' })
    expect(await pull()).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await pull({ ...ada, branch: 'main' })).toMatchObject({ status: 200 })
    expect(await pull({ ...ada, branch: 'nope' })).toMatchObject({ status: 404, code: 'GIT_BRANCH_NOT_FOUND' })
  })
})

describe('a remote', () => {
  it('is added, fetched from, listed, and given another URL', async () => {
    remote.create('second')
    expect(
      await calls.post('credentials', { ...ada, host: new URL(remote.origin).host, protocol: 'http' }),
    ).toMatchObject({
      status: 200,
    })
    const second = { path: 'copy', name: 'my.second', url: remote.url('project') }
    expect(await calls.post('remotes', { ...second, fetch: true })).toMatchObject({ status: 200 })
    expect(subject(calls.at('copy'), 'my.second/main')).toBe('one')
    expect(await calls.post('remotes', second)).toMatchObject({ status: 409, code: 'GIT_REMOTE_EXISTS' })
    const url = remote.url('second')
    expect(await calls.post('remotes', { ...second, url, overwrite: true })).toMatchObject({ status: 200 })
    expect(await calls.post('remotes', { ...second, name: 'third', url, overwrite: true })).toMatchObject({
      status: 200,
    })
    expect((await calls.get('remotes', { path: 'copy' })).body).toEqual({
      remotes: [
        { name: 'origin', url: remote.url('project') },
        { name: 'my.second', url },
        { name: 'third', url },
      ],
    })
  })

  it.each([{ name: '-x' }, { name: 'a b' }, { name: '' }, { url: '--upload-pack=x' }, { url: 'a\nb' }])(
    '%j is a 400',
    async (more) => {
      const answer = await calls.post('remotes', { path: 'copy', name: 'second', url: 'http://x/y', ...more })
      expect(answer).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    },
  )
})
