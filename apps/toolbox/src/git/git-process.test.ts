import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ProcessGroups } from '../process/process-groups.ts'
import { createProcessGroups } from '../process/process-groups.ts'
import type { GitRemote } from '../testing/git-remote.ts'
import { startGitRemote } from '../testing/git-remote.ts'
import { processesIn } from '../testing/processes-in.ts'
import type { GitLauncher } from './git-launcher.ts'
import { createGitLauncher } from './git-launcher.ts'
import type { GitCommand, GitLimits } from './git-process.ts'
import { runGit } from './git-process.ts'

const generous: GitLimits = {
  localMs: 60_000,
  remoteMs: 60_000,
  silenceMs: 60_000,
  maxStdoutBytes: 1_000_000,
  maxStderrBytes: 1_000_000,
}

let remote: GitRemote
let folder: string
let groups: ProcessGroups
/** The folder in which the launcher keeps its script. */
let scripts: string
let launcher: GitLauncher
beforeAll(async () => {
  remote = await startGitRemote()
})
afterAll(() => remote[Symbol.asyncDispose]())
beforeEach(async () => {
  remote.answerWith = undefined
  folder = await realpath(await mkdtemp(join(tmpdir(), 'atoll-git-process-')))
  groups = createProcessGroups({ graceMs: 100 })
  scripts = await mkdtemp(join(tmpdir(), 'atoll-git-scripts-'))
  launcher = createGitLauncher(scripts)
})
afterEach(async () => {
  await groups[Symbol.asyncDispose]()
  await launcher[Symbol.asyncDispose]()
  for (const path of [folder, scripts]) await rm(path, { recursive: true })
})

const commandEnv = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' }

function run(args: string[], more: Partial<GitCommand> & { limits?: Partial<GitLimits>; path?: string } = {}) {
  const { limits, path, ...command } = more
  const parts = {
    groups,
    launcher,
    commandEnv: { ...commandEnv, ...(path === undefined ? {} : { PATH: path }) },
    limits: { ...generous, ...limits },
  }
  return runGit({ args, cwd: folder, signal: new AbortController().signal, ...command }, parts)
}

/** Returns a command that runs a shell command through an alias, as a child of git. */
const alias = (command: string) => ({ args: ['odd'], settings: [`alias.odd=!${command}`], setsConfig: true })

async function numberIn(name: string): Promise<number> {
  for (;;) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => '')
    if (text.endsWith('\n')) return Number(text)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function untilEnded(pid: number): Promise<void> {
  for (;;) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    if (stat === '' || /^\d+ \(.*\) [ZX]/s.test(stat)) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('a git process', () => {
  it('answers with what it said and how it ended', async () => {
    expect(await run(['version'])).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('git version') })
    const failed = await run(['rev-parse', 'HEAD'])
    expect(failed).toMatchObject({ exitCode: 128, stdout: '' })
    expect(failed.stderr).toMatch(/^fatal: not a git repository/)
  })

  it('that a signal ends is a failure', async () => {
    const { args, ...odd } = alias('kill -9 $PPID')
    expect(await run(args, odd)).toMatchObject({ exitCode: null })
  })

  it('reads an end of file unless it is given something', async () => {
    await run(['init', '--quiet'])
    expect(await run(['hash-object', '--stdin'])).toMatchObject({
      stdout: 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n',
    })
    const given = await run(['hash-object', '--stdin'], { input: 'x' })
    expect(given.stdout).not.toContain('e69de29')
  })

  it('leads a group of its own', async () => {
    const { args, ...odd } = alias('echo $PPID > leader; cut -d " " -f 5 /proc/$$/stat > group')
    await run(args, odd)
    expect(await numberIn('group')).toBe(await numberIn('leader'))
  })

  it('starts where there is no setsid, and where its script was cleaned away', async () => {
    const programs = (await run(['--exec-path'])).stdout.trim()
    expect(await run(['version'], { path: programs })).toMatchObject({ exitCode: 0 })
    for (const name of await readdir(scripts)) await rm(join(scripts, name), { recursive: true })
    expect(await run(['version'])).toMatchObject({ exitCode: 0 })
  })

  it('says so when there is no room for its script', async () => {
    await using nowhere = createGitLauncher(join(folder, 'missing'))
    await expect(nowhere.prepare(commandEnv)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  })

  it('lets hooks use abbreviated options, which simple-git would forbid', async () => {
    await run(['init', '--quiet', '--initial-branch=main'])
    await writeFile(join(folder, '.git/hooks/post-checkout'), '#!/bin/sh\ngit status --porc > ran\n', { mode: 0o755 })
    await run(['checkout', '--orphan', 'x'])
    await run(['-c', 'user.name=x', '-c', 'user.email=x', 'commit', '--quiet', '--allow-empty', '-m', 'x'])
    await run(['checkout', '-b', 'y'])
    expect(await readFile(join(folder, 'ran'), 'utf8')).toContain('??')
  })
})

describe('the end of a git process', () => {
  const stubborn = 'trap "" TERM INT; echo $$ > pid; while :; do sleep 1; done'

  it('comes when its caller goes away, for what it started too', async () => {
    const caller = new AbortController()
    const { args, ...odd } = alias(stubborn)
    const result = run(args, { ...odd, signal: caller.signal })
    const pid = await numberIn('pid')
    caller.abort(new Error('gone'))
    await expect(result).rejects.toThrow('gone')
    await untilEnded(pid)
  })

  it('comes before its start when the caller is gone already', async () => {
    await expect(run(['version'], { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone')
  })

  it('comes at its deadline', async () => {
    const { args, ...odd } = alias(stubborn)
    await expect(run(args, { ...odd, limits: { localMs: 500 } })).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
    // No process is left, however far the command had come.
    await expect.poll(() => processesIn(folder)).toEqual([])
  })

  it('comes when a remote is silent', async () => {
    remote.answerWith = 'hang'
    const args = ['ls-remote', remote.url('project')]
    const result = run(args, { talksToRemote: true, limits: { silenceMs: 500 } })
    await expect(result).rejects.toMatchObject({
      code: 'GIT_TRANSPORT_FAILED',
      message: expect.stringContaining('silent'),
    })
  })

  it('comes when it says too much', async () => {
    for (const where of ['', '>&2']) {
      const { args, ...odd } = alias(`yes ${where}`)
      await expect(run(args, odd)).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
    }
  })
})
