import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { GitCalls } from '../testing/call-git.ts'
import { gitCalls } from '../testing/call-git.ts'
import type { GitRemote } from '../testing/git-remote.ts'
import { gitIn, startGitRemote } from '../testing/git-remote.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { createTestToolbox } from '../testing/test-toolbox.ts'

const ada = { username: 'ada', password: 'p@ss:/?#"word' }

let remote: GitRemote
let locked: GitRemote
/** The commits of `project`, oldest first. */
let commits: string[]
beforeAll(async () => {
  remote = await startGitRemote()
  locked = await startGitRemote({ credentials: ada })
  for (const server of [remote, locked]) {
    server.create('project', (git) => {
      for (const message of ['one', 'two', 'three']) git('commit', '--quiet', '--allow-empty', '-m', message)
      git('tag', 'v1', 'HEAD~1')
      git('checkout', '--quiet', '-b', 'side')
      git('commit', '--quiet', '--allow-empty', '-m', 'aside')
      git('push', '--quiet', 'origin', 'main', 'side', 'v1')
    })
  }
  commits = gitIn(join(remote.folder, 'project.git'))('rev-list', '--reverse', 'side').trim().split('\n')
  remote.create('empty')
})
afterAll(async () => {
  await remote[Symbol.asyncDispose]()
  await locked[Symbol.asyncDispose]()
})

let toolbox: TestToolbox
let calls: GitCalls
beforeEach(async () => {
  remote.answerWith = undefined
  toolbox = await createTestToolbox()
  calls = gitCalls(toolbox)
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const clone = (more: object) => calls.post('clone', { url: remote.url('project'), path: 'a/copy', ...more })
const headOf = (folder = 'a/copy') => calls.inside(folder)('rev-parse', 'HEAD').trim()

describe('a clone', () => {
  it("has the branch of the remote's HEAD, alone, and follows it", async () => {
    expect(await clone({})).toMatchObject({ status: 200, body: undefined })
    expect(headOf()).toBe(commits[2])
    expect(calls.inside('a/copy')('branch', '--all', '--format=%(refname)').trim().split('\n')).toEqual([
      'refs/heads/main',
      'refs/remotes/origin/HEAD',
      'refs/remotes/origin/main',
    ])
    expect((await calls.get('status', { path: 'a/copy' })).body).toMatchObject({ upstream: 'origin/main' })
    expect((await calls.get('remotes', { path: 'a/copy' })).body).toEqual({
      remotes: [{ name: 'origin', url: remote.url('project') }],
    })
  })

  it('has the branch, or the tag, that was named', async () => {
    await clone({ branch: 'side' })
    expect(headOf()).toBe(commits[3])
    await clone({ branch: 'v1', path: 'tagged' })
    expect(headOf('tagged')).toBe(commits[1])
  })

  it('stands at the commit that was named, detached, on its branch or beside it', async () => {
    await clone({ commit_id: commits[0] })
    expect(headOf()).toBe(commits[0])
    expect((await calls.get('branches', { path: 'a/copy' })).body).toEqual({ branches: ['main'], current: '' })
    await clone({ commit_id: commits[3], path: 'beside' })
    expect(headOf('beside')).toBe(commits[3])
    await clone({ commit_id: commits[0]?.slice(0, 10), path: 'short' })
    expect(headOf('short')).toBe(commits[0])
  })

  it('is as deep as was asked, also of a path, and with a commit before that', async () => {
    const depthOf = (folder: string) => calls.inside(folder)('rev-list', '--count', 'HEAD').trim()
    await clone({ depth: 2 })
    expect(depthOf('a/copy')).toBe('2')
    await clone({ depth: 1, url: join(remote.folder, 'project.git'), path: 'local' })
    expect(depthOf('local')).toBe('1')
    await clone({ depth: 1, commit_id: commits[1], path: 'before' })
    expect(headOf('before')).toBe(commits[1])
    await clone({ depth: 0, path: 'whole' })
    expect(depthOf('whole')).toBe('3')
  })

  it('may come from a path or a file URL, and go into an empty folder', async () => {
    await mkdir(calls.at('empty folder'))
    expect(await clone({ url: `file://${remote.folder}/project.git`, path: 'empty folder' })).toMatchObject({
      status: 200,
    })
    expect(await clone({ url: './empty folder', path: '~/again' })).toMatchObject({ status: 200 })
    expect(headOf('again')).toBe(commits[2])
  })

  it('of an empty repository is empty', async () => {
    expect(await clone({ url: remote.url('empty') })).toMatchObject({ status: 200 })
    expect((await calls.get('branches', { path: 'a/copy' })).body).toEqual({ branches: [], current: 'main' })
    expect((await calls.get('history', { path: 'a/copy' })).body).toEqual([])
  })

  it('leaves submodules out', async () => {
    remote.create('parent', (git) => {
      git(
        '-c',
        'protocol.file.allow=always',
        'submodule',
        '--quiet',
        'add',
        join(remote.folder, 'project.git'),
        'inner',
      )
      git('commit', '--quiet', '-m', 'with a submodule')
      git('push', '--quiet', 'origin', 'main')
    })
    await calls.post('config', { key: 'submodule.recurse', value: 'true' })
    expect(await clone({ url: remote.url('parent') })).toMatchObject({ status: 200 })
    expect(await readdir(calls.at('a/copy/inner'))).toEqual([])
    expect(await calls.post('pull', { path: 'a/copy' })).toMatchObject({ status: 200 })
    expect(await readdir(calls.at('a/copy/inner'))).toEqual([])
  })
})

describe('a clone that fails', () => {
  it.each([
    ['of a repository that is not there', { url: 'missing' }, 404, 'GIT_REPO_NOT_FOUND'],
    ['of a path that is not there', { url: '/nowhere/at/all' }, 404, 'GIT_REPO_NOT_FOUND'],
    ['of a branch that is not there', { branch: 'nope' }, 404, 'GIT_BRANCH_NOT_FOUND'],
    ['of a branch of an empty repository', { url: 'empty', branch: 'nope' }, 404, 'GIT_BRANCH_NOT_FOUND'],
    ['of a commit that is not there', { commit_id: 'f'.repeat(40) }, 404, 'GIT_REF_NOT_FOUND'],
    ['of a commit that is none', { commit_id: 'no such thing' }, 404, 'GIT_REF_NOT_FOUND'],
    ['of nobody', { url: 'http://127.0.0.1:9/x.git' }, 502, 'GIT_TRANSPORT_FAILED'],
    ['below a file', { path: 'file/below' }, 409, 'GIT_TARGET_NOT_EMPTY'],
    ['onto a file', { path: 'file' }, 409, 'GIT_TARGET_NOT_EMPTY'],
    ['into a folder with something in it', { path: 'full' }, 409, 'GIT_TARGET_NOT_EMPTY'],
  ])('%s says so and leaves nothing behind', async (...[, request, status, code]) => {
    await writeFile(calls.at('file'), 'kept')
    await mkdir(calls.at('full'))
    await writeFile(calls.at('full/file'), 'kept')
    const { url } = { url: 'project', ...request }
    const answer = await clone({ ...request, url: /[/:]/.test(url) ? url : remote.url(url) })
    expect(answer).toMatchObject({ status, code })
    expect(existsSync(calls.at('a/copy'))).toBe(false)
    expect(await readFile(calls.at('file'), 'utf8')).toBe('kept')
    expect(await readdir(calls.at('full'))).toEqual(['file'])
  })

  it.each([
    [403, 403, 'FORBIDDEN'],
    [404, 404, 'GIT_REPO_NOT_FOUND'],
    [500, 502, 'GIT_TRANSPORT_FAILED'],
  ])('for a server that answers %i', async (answer, status, code) => {
    remote.answerWith = answer
    expect(await clone({})).toMatchObject({ status, code })
  })

  it('leaves an empty folder empty', async () => {
    await mkdir(calls.at('a/copy'), { recursive: true })
    expect(await clone({ commit_id: 'f'.repeat(40) })).toMatchObject({ code: 'GIT_REF_NOT_FOUND' })
    expect(await readdir(calls.at('a/copy'))).toEqual([])
  })

  it('because the same is under way spoils neither', async () => {
    const answers = await Promise.all([clone({}), clone({})])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409])
    expect(headOf()).toBe(commits[2])
  })

  it('because its caller left ends git with all it started, and leaves nothing', async () => {
    remote.answerWith = 'hang'
    const caller = new AbortController()
    const answer = calls.post('clone', { url: remote.url('project'), path: 'gone' }, caller.signal)
    await remote.hanging
    caller.abort()
    await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect.poll(() => processesWith(remote.url('project'))).toEqual([])
    await expect.poll(() => existsSync(calls.at('gone'))).toBe(false)
  })
})

describe('credentials', () => {
  const secluded = () => ({ url: locked.url('project'), path: 'private' })

  it('that are right open the door, and are nowhere afterwards', async () => {
    expect(await clone({ ...secluded(), ...ada })).toMatchObject({ status: 200 })
    expect(calls.inside('private')('log', '-1', '--format=%s')).toBe('three\n')
    expect(calls.inside('private')('config', '--list')).not.toContain('ada')
    expect(await readdir(toolbox.folder)).toEqual(['private'])
  })

  it.each([
    ['missing', {}],
    ['wrong', { username: 'ada', password: 'guess-7f3a' }],
    ['half', { username: 'ada' }],
  ])('that are %s are a 401 which tells no secret', async (_what, given) => {
    const answer = await clone({ ...secluded(), ...given })
    expect(answer).toMatchObject({ status: 401, code: 'GIT_AUTH_FAILED' })
    expect(answer.message).not.toContain('guess-7f3a')
  })

  it('in the URL work for the call, and are not kept', async () => {
    const user = `${encodeURIComponent(ada.username)}:${encodeURIComponent(ada.password)}`
    const url = locked.url('project').replace('http://', `http://${user}@`)
    expect(await clone({ url, path: 'private' })).toMatchObject({ status: 200 })
    expect((await calls.get('remotes', { path: 'private' })).body).toEqual({
      remotes: [{ name: 'origin', url: locked.url('project') }],
    })
    const wrong = await clone({ url: locked.url('project').replace('http://', 'http://ada:guess-7f3a@'), path: 'no' })
    expect(wrong).toMatchObject({ status: 401, code: 'GIT_AUTH_FAILED' })
    expect(wrong.message).not.toContain('guess-7f3a')
  })

  it('with a line break could say something else to git, and are refused', async () => {
    const given = { username: 'ada', password: 'x\nhost=evil.example' }
    expect(await clone({ ...secluded(), ...given })).toMatchObject({ code: 'VALIDATION_FAILED' })
  })

  it('that were stored are used for that host from then on', async () => {
    const host = new URL(locked.origin).host
    expect(await calls.post('credentials', { ...ada, host, protocol: 'http' })).toMatchObject({ status: 200 })
    expect(await clone(secluded())).toMatchObject({ status: 200 })
    expect(calls.inside('.')('config', '--file', '.gitconfig', '--get-all', 'credential.helper')).toBe('store\n')
    // The credentials of a call take precedence over the stored ones, and are still not stored.
    const wrong = { username: 'eve', password: 'guess-7f3a' }
    expect(await clone({ ...secluded(), ...wrong, path: 'other' })).toMatchObject({ status: 401 })
    expect(await readFile(calls.at('.git-credentials'), 'utf8')).not.toContain('eve')
  })
})

describe('a certificate nobody vouches for', () => {
  it('is refused, unless the caller says for this call that it need not be verified', async () => {
    await using server = await startGitRemote({ tls: selfSigned() })
    server.create('project', (git) => {
      git('commit', '--quiet', '--allow-empty', '-m', 'one')
      git('push', '--quiet', 'origin', 'main')
    })
    const url = server.url('project')
    expect(await clone({ url })).toMatchObject({ status: 502, code: 'GIT_TRANSPORT_FAILED' })
    expect(await clone({ url, insecure_skip_tls: true })).toMatchObject({ status: 200 })
    expect(await calls.post('pull', { path: 'a/copy' })).toMatchObject({ status: 502, code: 'GIT_TRANSPORT_FAILED' })
  })
})

describe('what would be read as something else', () => {
  it.each([
    { url: '--upload-pack=touch owned' },
    { url: '-uowned' },
    { url: 'ext::sh -c "touch owned"' },
    { url: 'fd::0' },
    { url: 'ssh://-oProxyCommand=touch%20owned/x' },
    { url: 'http://example.com/\nx' },
    { url: 'a\0b' },
    { url: '' },
    { branch: '--upload-pack=touch owned' },
    { commit_id: '--detach' },
    { depth: -1 },
    { depth: 1.5 },
  ])('%j is a 400', async (request) => {
    expect(await clone(request)).toMatchObject({ status: 400, code: 'VALIDATION_FAILED' })
    expect(await readdir(toolbox.folder, { recursive: true })).not.toContain('owned')
    expect(existsSync(calls.at('a/copy'))).toBe(false)
  })
})

/** Makes a new certificate each time; openssl comes with the ca-certificates that git needs for HTTPS. */
function selfSigned(): { key: string; cert: string } {
  const folder = calls.at('certificate')
  const [key, cert] = ['key', 'cert'].map((name) => join(folder, name)) as [string, string]
  execFileSync('mkdir', [folder])
  const how = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=127.0.0.1']
  execFileSync('openssl', ['req', ...how, '-days', '1', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
}

/** Returns the command lines of live processes that contain the text. */
async function processesWith(text: string): Promise<string[]> {
  const lines: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.includes(text)) lines.push(line.replaceAll('\0', ' '))
  }
  return lines
}
