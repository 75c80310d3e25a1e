import {
  DaytonaGitAuthFailedError,
  DaytonaGitBranchExistsError,
  DaytonaGitBranchNotFoundError,
  DaytonaGitRepoNotFoundError,
} from 'daytona-sdk-0-218'
import { beforeAll, describe, expect, it } from 'vitest'
import type { GitRemote } from './testing/git-remote.ts'
import { startGitRemote } from './testing/git-remote.ts'
import { describeBranches, describeGit } from './testing/git-scenario.ts'
import { shell, writeFileIn } from './testing/in-sandbox.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'

const own = ownSandbox218()

describeGit('SDK 0.218', own)
describeBranches('SDK 0.218', own)

describe('what git has gained by SDK 0.218', () => {
  const second = ownSandbox218()
  let remote: GitRemote
  beforeAll(async () => {
    remote = await startGitRemote(second.sandbox)
  })

  it('errors have classes of their own', async () => {
    const { git } = second.sandbox
    const wrong = git.clone(remote.url, 'wrong', undefined, undefined, 'somebody', 'wrong')
    await expect(wrong).rejects.toBeInstanceOf(DaytonaGitAuthFailedError)
    await expect(git.status('/tmp')).rejects.toBeInstanceOf(DaytonaGitRepoNotFoundError)
    await git.init('classes')
    await git.configureUser('Ann', 'ann@example.com')
    await git.commit('classes', 'Begin', 'Ann', 'ann@example.com', true)
    await git.createBranch('classes', 'taken')
    await expect(git.createBranch('classes', 'taken')).rejects.toBeInstanceOf(DaytonaGitBranchExistsError)
    await expect(git.checkoutBranch('classes', 'none')).rejects.toBeInstanceOf(DaytonaGitBranchNotFoundError)
  })

  it('a clone can be shallow', async () => {
    const { username, password, url } = remote
    await second.sandbox.git.clone(url, 'shallow', undefined, undefined, username, password, false, 1)
    expect(await shell(second.sandbox, 'git -C shallow rev-list --count HEAD')).toBe('1')
  })

  it('a repository is made, and has a user and settings', async () => {
    const { git } = second.sandbox
    await git.init('made', false, 'trunk')
    expect((await git.status('made')).currentBranch).toBe('trunk')
    await git.configureUser('Local', 'local@example.com', 'local', 'made')
    expect(await git.getConfig('user.email', 'local', 'made')).toBe('local@example.com')
    await git.setConfig('core.abbrev', '12')
    expect(await git.getConfig('core.abbrev')).toBe('12')
    expect((await git.getConfig('core.nothing')) ?? undefined).toBeUndefined()
    await git.init('bare.git', true)
    expect(await shell(second.sandbox, 'git -C bare.git rev-parse --is-bare-repository')).toBe('true')
  })

  it('what is staged and what is changed can be undone', async () => {
    const { git } = second.sandbox
    await git.init('undo')
    await writeFileIn(second.sandbox, 'undo/file', 'one\n')
    await git.add('undo', ['.'])
    const { sha } = await git.commit('undo', 'One', 'Ann', 'ann@example.com')
    await writeFileIn(second.sandbox, 'undo/file', 'two\n')
    await git.add('undo', ['file'])
    await git.reset('undo', undefined, undefined, ['file'])
    expect((await git.status('undo')).fileStatus).toMatchObject([{ staging: 'Unmodified', worktree: 'Modified' }])
    await git.restore('undo', ['file'])
    expect((await git.status('undo')).fileStatus).toEqual([])
    await git.commit('undo', 'Nothing', 'Ann', 'ann@example.com', true)
    await git.reset('undo', 'hard', sha)
    expect(await shell(second.sandbox, 'git -C undo rev-parse HEAD')).toBe(sha)
  })

  it('remotes are added, listed and pushed to with credentials that are kept', async () => {
    const { git } = second.sandbox
    const { url, username, password } = remote
    await git.dangerouslyAuthenticate(username, password, new URL(url).host, 'http')
    await git.init('remotes', false, 'topic')
    await git.commit('remotes', 'Begin', 'Ann', 'ann@example.com', true)
    await git.remoteAdd('remotes', 'elsewhere', 'http://127.0.0.1:1/none.git')
    await git.remoteAdd('remotes', 'elsewhere', url, true, true)
    expect((await git.remotes('remotes')).remotes).toEqual([{ name: 'elsewhere', url }])
    expect(await git.remoteGet('remotes', 'elsewhere')).toBe(url)
    expect(await git.remoteGet('remotes', 'origin')).toBeUndefined()
    await git.push('remotes', undefined, undefined, 'topic', 'elsewhere', true)
    expect(await remote.tip('topic')).toBe(await shell(second.sandbox, 'git -C remotes rev-parse HEAD'))
    expect(await git.status('remotes')).toMatchObject({ branchPublished: true })
    await git.pull('remotes', undefined, undefined, 'topic', 'elsewhere')
  })
})
