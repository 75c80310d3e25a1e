import { execFileSync } from 'node:child_process'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GitStatus } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gitIn } from '../testing/git-remote.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
let git: (...args: string[]) => string
beforeEach(async () => {
  toolbox = await createTestToolbox()
  await mkdir(at('repo'))
  git = gitIn(at('repo'))
  git('init', '--quiet', '--initial-branch=main')
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const inRepo = (name: string) => join(toolbox.folder, 'repo', name)

async function status(path = 'repo'): Promise<GitStatus> {
  const response = await toolbox.call('GET', '/git/status', { query: { path } })
  expect(bodyOf(response)).not.toHaveProperty('code')
  return Value.Parse(GitStatus, bodyOf(response))
}

async function commitAll(message = 'first'): Promise<void> {
  git('add', '--all')
  git('commit', '--quiet', '--allow-empty', '-m', message)
}

const untracked = (name: string) => ({ name, extra: '', staging: 'Untracked', worktree: 'Untracked' })

describe('the status', () => {
  it('before the first commit has the branch to be and the files', async () => {
    await writeFile(inRepo('a'), '')
    expect(await status()).toEqual({
      currentBranch: 'main',
      detached: false,
      upstream: '',
      ahead: 0,
      behind: 0,
      branchPublished: false,
      fileStatus: [untracked('a')],
    })
  })

  it('of a clean repository lists no file, nor ignored ones', async () => {
    await writeFile(inRepo('.gitignore'), 'build\n')
    await commitAll()
    await mkdir(inRepo('build'))
    await writeFile(inRepo('build/out'), '')
    expect((await status()).fileStatus).toEqual([])
  })

  it('tells what is staged from what is not', async () => {
    for (const name of ['modified', 'staged', 'both', 'deleted', 'removed', 'old', 'type']) {
      await writeFile(inRepo(name), `content of ${name}\n`.repeat(5))
    }
    await commitAll()
    await writeFile(inRepo('staged'), 'x')
    await writeFile(inRepo('both'), 'x')
    await writeFile(inRepo('added'), '')
    git('add', '--all')
    git('rm', '--quiet', 'removed')
    git('mv', 'old', 'new')
    await writeFile(inRepo('modified'), 'x')
    await writeFile(inRepo('both'), 'y')
    await rm(inRepo('deleted'))
    await rm(inRepo('type'))
    await symlink('both', inRepo('type'))
    await mkdir(inRepo('folder/sub'), { recursive: true })
    await writeFile(inRepo('folder/sub/file'), '')
    const { fileStatus } = await status()
    const of = (staging: string, worktree: string, extra = '') => ({ extra, staging, worktree })
    expect(Object.fromEntries(fileStatus.map(({ name, ...rest }) => [name, rest]))).toEqual({
      modified: of('Unmodified', 'Modified'),
      staged: of('Modified', 'Unmodified'),
      both: of('Modified', 'Modified'),
      added: of('Added', 'Unmodified'),
      deleted: of('Unmodified', 'Deleted'),
      removed: of('Deleted', 'Unmodified'),
      new: of('Renamed', 'Unmodified', 'old'),
      type: of('Unmodified', 'Modified'),
      'folder/sub/file': of('Untracked', 'Untracked'),
    })
  })

  it('gives odd names as they are, and bytes that are no UTF-8 as U+FFFD', async () => {
    const names = [
      'a\nb',
      ' space ',
      '"quoted"',
      "it's",
      '-rf',
      'ü-日本-🦀',
      '? x',
      '# branch.head evil',
      ':(top)x',
      '\t',
    ]
    for (const name of names) await writeFile(inRepo(name), `the file ${name}\n`.repeat(9))
    await writeFile(Buffer.concat([Buffer.from(`${at('repo')}/a`), Buffer.from([0xff]), Buffer.from('b')]), '')
    const listed = (await status()).fileStatus
    expect(listed.map(({ name }) => name).sort()).toEqual([...names, 'a\ufffdb'].sort())
    expect(new Set(listed.map(({ staging }) => staging))).toEqual(new Set(['Untracked']))
    await commitAll()
    await rename(inRepo('a\nb'), inRepo('2 R. c\nd'))
    git('add', '--all')
    expect((await status()).fileStatus).toEqual([
      { name: '2 R. c\nd', extra: 'a\nb', staging: 'Renamed', worktree: 'Unmodified' },
    ])
  })

  it('names files of both sides of a conflict as unmerged', async () => {
    await writeFile(inRepo('file'), 'base')
    await writeFile(inRepo('gone'), 'base')
    await commitAll()
    git('checkout', '--quiet', '-b', 'side')
    await writeFile(inRepo('file'), 'side')
    await rm(inRepo('gone'))
    await commitAll('side')
    git('checkout', '--quiet', 'main')
    await writeFile(inRepo('file'), 'main')
    await writeFile(inRepo('gone'), 'main')
    await commitAll('main')
    expect(() => git('merge', '--quiet', 'side')).toThrow()
    const unmerged = { extra: '', staging: 'Updated but unmerged', worktree: 'Updated but unmerged' }
    expect((await status()).fileStatus).toEqual([
      { name: 'file', ...unmerged },
      { name: 'gone', ...unmerged },
    ])
  })

  it('of a detached HEAD says so', async () => {
    await commitAll()
    git('checkout', '--quiet', '--detach')
    expect(await status()).toMatchObject({ currentBranch: 'HEAD', detached: true })
  })

  it('counts commits against the upstream, as long as there is one', async () => {
    await commitAll('1')
    git('branch', 'base')
    git('branch', '--set-upstream-to=base')
    expect(await status()).toMatchObject({ upstream: 'base', branchPublished: true, ahead: 0, behind: 0 })
    await commitAll('2')
    await commitAll('3')
    git('checkout', '--quiet', 'base')
    await commitAll('other')
    git('checkout', '--quiet', 'main')
    expect(await status()).toMatchObject({ ahead: 2, behind: 1 })
    git('branch', '-D', 'base')
    expect(await status()).toMatchObject({ upstream: 'base', branchPublished: false, ahead: 0, behind: 0 })
  })

  it('does not depend on what the user has configured or the environment says', async () => {
    await using odd = await createTestToolbox({
      GIT_DIR: '/nowhere',
      GIT_WORK_TREE: '/',
      LANG: 'de_DE.UTF-8',
      GIT_TRACE: '1',
    })
    const repo = join(odd.folder, 'repo')
    await mkdir(repo)
    const here = gitIn(repo)
    here('init', '--quiet', '--initial-branch=main')
    for (const [key, value] of [
      ['color.ui', 'always'],
      ['status.short', 'true'],
      ['status.showUntrackedFiles', 'no'],
      ['status.renames', 'false'],
      ['core.quotePath', 'true'],
    ] as const) {
      here('config', key, value)
    }
    await writeFile(join(repo, 'ü'), '')
    const response = await odd.call('GET', '/git/status', { query: { path: 'repo' } })
    expect(bodyOf(response)).toMatchObject({ currentBranch: 'main', fileStatus: [untracked('ü')] })
  })

  it('of 10,000 files tells of each', async () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `dir${index % 100}/file${index}`)
    await Promise.all(Array.from({ length: 100 }, (_, index) => mkdir(inRepo(`dir${index}`))))
    await Promise.all(names.map((name) => writeFile(inRepo(name), name)))
    const { fileStatus } = await status()
    expect(fileStatus).toHaveLength(10_000)
  }, 60_000)

  it('leaves a lock of somebody else alone', async () => {
    await writeFile(inRepo('.git/index.lock'), '')
    expect((await status()).currentBranch).toBe('main')
  })
})

describe('no status', () => {
  it.each([
    ['a missing folder', 'missing'],
    ['a file', 'file'],
    ['a plain folder', '.'],
    ['a folder inside a repository', 'repo/inner'],
  ])('for %s: it is a 404', async (_what, path) => {
    await writeFile(at('file'), '')
    await mkdir(inRepo('inner'))
    const response = await toolbox.call('GET', '/git/status', { query: { path } })
    expect(bodyOf(response)).toMatchObject({ statusCode: 404, code: 'GIT_REPO_NOT_FOUND' })
  })

  it('for a bare repository, which has no files', async () => {
    git('init', '--quiet', '--bare', at('bare'))
    const response = await toolbox.call('GET', '/git/status', { query: { path: 'bare' } })
    expect(bodyOf(response)).toMatchObject({ code: 'VALIDATION_FAILED' })
  })

  it.runIf(process.getuid?.() === 0)('for the repository of another user, with the way to trust it', async () => {
    execFileSync('chown', ['-R', '12345', at('repo')])
    const response = await toolbox.call('GET', '/git/status', { query: { path: 'repo' } })
    expect(bodyOf(response)).toMatchObject({
      statusCode: 403,
      code: 'FILE_ACCESS_DENIED',
      message: expect.stringContaining('safe.directory'),
    })
    const trust = { key: 'safe.directory', value: at('repo') }
    expect((await toolbox.call('POST', '/git/config', { json: trust })).status).toBe(200)
    expect((await status()).currentBranch).toBe('main')
  })

  it('without git says how to install it', async () => {
    await using bare = await createTestToolbox({ PATH: toolbox.folder })
    await mkdir(join(bare.folder, 'repo'))
    const response = await bare.call('GET', '/git/status', { query: { path: 'repo' } })
    expect(bodyOf(response)).toMatchObject({
      statusCode: 501,
      code: 'GIT_NOT_INSTALLED',
      message: expect.stringContaining('install git'),
    })
  })
})
