import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import type { AnySandbox } from './in-sandbox.ts'
import { shell, writeFileIn } from './in-sandbox.ts'

const PORT = 8418
const BARE = '/tmp/remote/project.git'
const WORK = '/tmp/remote-work'
const AUTHOR = '-c user.name=Seed -c user.email=seed@example.com'

/** A git server inside a sandbox, because no sandbox reaches the host's loopback. */
export interface GitRemote {
  readonly url: string
  readonly username: string
  readonly password: string
  /** Commits a file to an existing branch, as another user; returns the commit. */
  commit(branch: string, file: string, text: string): Promise<string>
  /** Returns the last commit of a branch. */
  tip(branch: string): Promise<string>
}

/** Starts the server with one commit on `main` and one more on `feature`. */
export async function startGitRemote(sandbox: AnySandbox): Promise<GitRemote> {
  const [username, password] = ['somebody', 's3cret']
  await writeFileIn(
    sandbox,
    '/tmp/server.mjs',
    readFileSync(join(import.meta.dirname, 'git-remote-server.mjs'), 'utf8'),
  )
  await shell(sandbox, `git init -q --bare -b main ${BARE} && git -C ${BARE} config http.receivepack true`)
  await shell(sandbox, `git clone -q ${BARE} ${WORK} && git -C ${WORK} checkout -q -b main`)
  const commit = async (branch: string, file: string, text: string) => {
    await shell(sandbox, `cd ${WORK} && git checkout -q ${branch} && (git pull -q origin ${branch} || true)`)
    await writeFileIn(sandbox, `${WORK}/${file}`, text)
    await shell(
      sandbox,
      `cd ${WORK} && git add . && git ${AUTHOR} commit -qm 'Add ${file}' && git push -q origin ${branch}`,
    )
    return shell(sandbox, `git -C ${WORK} rev-parse HEAD`)
  }
  await shell(sandbox, `cd ${WORK} && git ${AUTHOR} commit -q --allow-empty -m Begin && git push -q origin main`)
  await commit('main', 'README', 'hello\n')
  await shell(sandbox, `git -C ${WORK} branch feature`)
  await commit('feature', 'extra', 'more\n')
  const server = `/opt/atoll/bin/node /tmp/server.mjs /tmp/remote ${PORT} ${username}:${password}`
  await shell(sandbox, `nohup ${server} >/tmp/server.log 2>&1 </dev/null & echo started`)
  await eventually('the git server listens', async () => {
    const { result } = await sandbox.process.executeCommand('cat /tmp/server.log')
    return result.includes('listening')
  })
  const tip = (branch: string) => shell(sandbox, `git -C ${BARE} rev-parse ${branch}`)
  return { url: `http://127.0.0.1:${PORT}/project.git`, username, password, commit, tip }
}
