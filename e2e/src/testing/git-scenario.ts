import { beforeAll, describe, expect, it } from 'vitest'
import type { GitRemote } from './git-remote.ts'
import { startGitRemote } from './git-remote.ts'
import type { AnySandbox } from './in-sandbox.ts'
import { getFromToolbox, shell, writeFileIn } from './in-sandbox.ts'
import type { OwnSandbox } from './own-sandbox.ts'

interface FileStatus {
  name: string
  staging: string
  worktree: string
}

/** A sandbox of any SDK generation, with git. */
export interface GitSandbox extends AnySandbox {
  readonly git: {
    clone(
      ...given: [url: string, path: string, branch?: string, commit?: string, username?: string, password?: string]
    ): Promise<void>
    /** SDK 0.17 declares `fileStatus` under another name than the one that is sent. */
    status(path: string): Promise<{ currentBranch: string }>
    add(path: string, files: string[]): Promise<void>
    commit(...given: [path: string, message: string, author: string, email: string]): Promise<{ sha: string }>
    branches(path: string): Promise<{ branches: string[] }>
    push(path: string, username?: string, password?: string): Promise<void>
    pull(path: string, username?: string, password?: string): Promise<void>
  }
}

/** A sandbox of an SDK since 0.23, which can make branches. */
export interface BranchingSandbox extends GitSandbox {
  readonly git: GitSandbox['git'] & {
    createBranch(path: string, name: string): Promise<void>
    checkoutBranch(path: string, branch: string): Promise<void>
    deleteBranch(path: string, name: string): Promise<void>
  }
}

async function changes(sandbox: GitSandbox, path: string): Promise<FileStatus[]> {
  const { fileStatus } = (await sandbox.git.status(path)) as { currentBranch: string; fileStatus?: FileStatus[] }
  return (fileStatus ?? []).sort((one, other) => one.name.localeCompare(other.name))
}

/** Tests clone, commit, push and pull with a remote that asks for credentials. */
export function describeGit(title: string, own: OwnSandbox<GitSandbox>): void {
  describe(`git through ${title}`, () => {
    let remote: GitRemote
    const credentials = () => [remote.username, remote.password] as const
    const clone = (path: string, branch?: string, commit?: string) =>
      own.sandbox.git.clone(remote.url, path, branch, commit, ...credentials())

    beforeAll(async () => {
      remote = await startGitRemote(own.sandbox)
    })

    it('clones with the right credentials only, and does not keep them', async () => {
      const { git } = own.sandbox
      await expect(git.clone(remote.url, 'refused', undefined, undefined, 'somebody', 'wrong')).rejects.toThrow(/auth/i)
      await expect(git.clone(remote.url, 'refused')).rejects.toThrow(/auth|username/i)
      await clone('project')
      expect(await git.status('project')).toMatchObject({
        ...{ currentBranch: 'main', fileStatus: [], ahead: 0, behind: 0, branchPublished: true },
      })
      expect(await shell(own.sandbox, 'grep -rc s3cret project/.git/config ~/.git-credentials || true')).toMatch(
        /^\S+:0/,
      )
      await expect(git.push('project')).rejects.toThrow(/auth|username/i)
    })

    it('clones a branch, and a commit with HEAD detached', async () => {
      await clone('branch', 'feature')
      expect(await own.sandbox.git.status('branch')).toMatchObject({ currentBranch: 'feature' })
      const first = await shell(own.sandbox, 'git -C project rev-parse HEAD~1')
      await clone('detached', undefined, first)
      expect(await shell(own.sandbox, 'git -C detached rev-parse HEAD')).toBe(first)
    })

    it('tells what is changed, stages and commits it', async () => {
      const { git } = own.sandbox
      await writeFileIn(own.sandbox, 'project/new', 'new\n')
      await writeFileIn(own.sandbox, 'project/README', 'changed\n')
      expect(await changes(own.sandbox, 'project')).toMatchObject([
        { name: 'new', staging: 'Untracked', worktree: 'Untracked' },
        { name: 'README', staging: 'Unmodified', worktree: 'Modified' },
      ])
      await git.add('project', ['new', 'README'])
      expect(await changes(own.sandbox, 'project')).toMatchObject([
        { name: 'new', staging: 'Added', worktree: 'Unmodified' },
        { name: 'README', staging: 'Modified', worktree: 'Unmodified' },
      ])
      const { sha } = await git.commit('project', 'Change it', 'Ann', 'ann@example.com')
      expect(sha).toMatch(/^[0-9a-f]{40}$/)
      expect(await git.status('project')).toMatchObject({ fileStatus: [], ahead: 1 })
      const path = encodeURIComponent('/home/daytona/project')
      expect(await getFromToolbox(own.sandbox, `/git/history?path=${path}`)).toMatchObject([
        { hash: sha, message: 'Change it', author: 'Ann', email: 'ann@example.com', timestamp: expect.any(String) },
        { message: 'Add README' },
        { message: 'Begin' },
      ])
    })

    it('pushes, and is told when others were first', async () => {
      const { git } = own.sandbox
      await git.push('project', ...credentials())
      expect(await remote.tip('main')).toBe(await shell(own.sandbox, 'git -C project rev-parse HEAD'))
      expect(await git.status('project')).toMatchObject({ ahead: 0 })
      await remote.commit('main', 'theirs', 'theirs\n')
      await shell(own.sandbox, 'cd project && git -c user.name=A -c user.email=a@b commit -q --allow-empty -m Late')
      await expect(git.push('project', ...credentials())).rejects.toThrow(/reject|fetch first|non-fast-forward/i)
      await shell(own.sandbox, 'git -C project reset -q --hard HEAD~1')
    })

    it('pulls what others pushed', async () => {
      await own.sandbox.git.pull('project', ...credentials())
      expect(await shell(own.sandbox, 'cat project/theirs')).toBe('theirs')
      await own.sandbox.git.pull('project', ...credentials())
    })

    it('lists the branches', async () => {
      await shell(own.sandbox, 'git -C project branch aside')
      expect((await own.sandbox.git.branches('project')).branches.sort()).toEqual(['aside', 'main'])
    })

    it('says that there is no repository', async () => {
      await expect(own.sandbox.git.status('/tmp')).rejects.toThrow(/repository/i)
    })
  })
}

/** Tests that branches are made, checked out and deleted. */
export function describeBranches(title: string, own: OwnSandbox<BranchingSandbox>): void {
  it(`branches are made, checked out and deleted through ${title}`, async () => {
    const { git } = own.sandbox
    const start = `git init -q -b main branchy && cd branchy && git -c user.name=A -c user.email=a@b commit -q --allow-empty -m Begin`
    await shell(own.sandbox, start)
    await git.createBranch('branchy', 'topic')
    expect((await git.status('branchy')).currentBranch).toBe('topic')
    await expect(git.createBranch('branchy', 'topic')).rejects.toThrow(/exists/i)
    await git.checkoutBranch('branchy', 'main')
    expect((await git.status('branchy')).currentBranch).toBe('main')
    await expect(git.checkoutBranch('branchy', 'nowhere')).rejects.toThrow(/nowhere/)
    await git.deleteBranch('branchy', 'topic')
    expect((await git.branches('branchy')).branches).toEqual(['main'])
  })
}
