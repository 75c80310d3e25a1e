import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { gitCalls } from '../testing/call-git.ts'
import { startGitRemote } from '../testing/git-remote.ts'
import { createTestToolbox } from '../testing/test-toolbox.ts'

/** A secret of this run, because another run beside it looks for its own secret, too. */
const SECRET = `sesame-${randomUUID()}`
const credentials = { username: 'ada', password: SECRET }

it('a password is in no file, no command line and no environment while git uses it', async () => {
  await using remote = await startGitRemote({ credentials })
  await using toolbox = await createTestToolbox()
  const calls = gitCalls(toolbox)
  remote.create('project', (git) => {
    git('commit', '--quiet', '--allow-empty', '-m', 'one')
    git('push', '--quiet', 'origin', 'main')
  })
  // The server accepts the password, and git then waits for the data to fetch.
  remote.hangAt = /git-upload-pack$/
  const caller = new AbortController()
  const json = { url: remote.url('project'), path: 'slow', ...credentials }
  const answer = calls.post('clone', json, caller.signal)
  await remote.hanging
  const { readable, seen } = await processes()
  expect(readable).toContainEqual(expect.stringContaining('git-remote-http'))
  expect(seen).toContainEqual(expect.stringContaining('GIT_TERMINAL_PROMPT=0'))
  expect(seen.filter((text) => text.includes(SECRET))).toEqual([])
  const launchers = (await readdir(tmpdir())).filter((name) => name.startsWith('atoll-git-'))
  expect(launchers).not.toEqual([])
  expect(filesWith(toolbox.folder, ...launchers.map((name) => join(tmpdir(), name)))).toEqual([])
  caller.abort()
  await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(toolbox.errors).toEqual([])
})

/** Returns what a process of the same user can read of each process but this one, which makes the call. */
async function processes(): Promise<{ readable: string[]; seen: string[] }> {
  const readable: string[] = []
  const seen: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
    readable.push(commandLine.replaceAll('\0', ' '))
    seen.push(commandLine, environment)
  }
  return { readable, seen }
}

function filesWith(...folders: string[]): string[] {
  try {
    return execFileSync('grep', ['-rlaFs', SECRET, ...folders], { encoding: 'utf8' })
      .trim()
      .split('\n')
  } catch {
    // grep found no file.
    return []
  }
}
