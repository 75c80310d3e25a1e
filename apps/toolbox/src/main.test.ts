import { execFile } from 'node:child_process'
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TunnelPeer } from '@atoll/tunnel'
import { describe, expect, it } from 'vitest'
import { ownBundle, TOKEN } from './testing/bundle.ts'
import { form, MULTIPART_HEADERS } from './testing/multipart.ts'
import { bodyOf, callPeer } from './testing/test-toolbox.ts'

/** The id of a user other than root, without a name here. */
const OTHER_UID = 54_321
const isRoot = process.getuid?.() === 0

const own = ownBundle()
const start = (env: Record<string, string> = {}, uid?: number) => own.start({ env: { KEPT: 'kept', ...env }, uid })

const execute = async (peer: TunnelPeer, command: string) =>
  bodyOf(await callPeer(peer, { method: 'POST', path: '/process/execute', json: { command } }))

describe('the built toolbox', () => {
  it('brings what V8 compiled of it, for the options that it is started with', async () => {
    const probe = 'process.stdout.write(String(require(process.argv[1]).cachedDataRejected))'
    const run = promisify(execFile)(process.execPath, [...own.nodeFlags, '--eval', probe, own.main], { env: {} })
    // Without a control plane the toolbox reports that, and ends with 1.
    expect(await run.catch((error: unknown) => error)).toMatchObject({ code: 1, stdout: 'false' })
  })

  it('dials home, answers calls and ends with 0 on SIGTERM', async () => {
    const toolbox = start()
    const peer = await own.dialHome.nextPeer()
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/project-dir' }))).toEqual({ dir: own.home })
    const upload = { method: 'POST', path: '/files/upload', query: { path: '~/f' }, headers: MULTIPART_HEADERS }
    expect((await callPeer(peer, { ...upload, body: form('over the wire') })).status).toBe(200)
    const download = await callPeer(peer, { method: 'GET', path: '/files/download', query: { path: 'f' } })
    expect(download.body.toString()).toBe('over the wire')
    toolbox.child.kill('SIGTERM')
    expect(await toolbox.exited).toBe(0)
    expect((await peer.whenClosed).code).toBe('LINK_CLOSED')
  })

  it('gives commands its environment without what was meant for itself', async () => {
    start({ DAYTONA_PROJECT_DIR: '/' })
    const peer = await own.dialHome.nextPeer()
    const { result } = await execute(peer, 'env; pwd')
    const lines = String(result).split('\n')
    expect(lines).toContain('KEPT=kept')
    expect(lines.at(-2)).toBe('/')
    expect(String(result)).not.toContain('ATOLL_')
    expect(String(result)).not.toContain(TOKEN)
  })

  it("works in the image's directory where it may, and has its project at home", async () => {
    start({ ATOLL_WORK_DIR: '/usr' })
    const peer = await own.dialHome.nextPeer()
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/project-dir' }))).toEqual({ dir: own.home })
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/work-dir' }))).toEqual({ dir: '/usr' })
    const { result } = await execute(peer, 'pwd')
    expect(result).toBe('/usr\n')
  })

  it('works at home where the image names a directory that is not there', async () => {
    start({ ATOLL_WORK_DIR: '/not/there' })
    const peer = await own.dialHome.nextPeer()
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/work-dir' }))).toEqual({ dir: own.home })
  })

  it("gives commands the sandbox's own environment, which it does not take for its own", async () => {
    start({ ATOLL_ENV_NODE_OPTIONS: '--require=/not/there', ATOLL_ENV_LD_PRELOAD: '', ATOLL_ENV_KEPT: 'replaced' })
    const peer = await own.dialHome.nextPeer()
    const { result } = await execute(peer, 'env')
    const lines = String(result).split('\n')
    expect(lines).toContain('NODE_OPTIONS=--require=/not/there')
    expect(lines).toContain('KEPT=replaced')
  })

  it('answers the calls of commands that it ends at shutdown', async () => {
    const toolbox = start()
    const peer = await own.dialHome.nextPeer()
    const answer = execute(peer, 'echo begun; touch begun; sleep 1000')
    await execute(peer, 'while ! [ -e begun ]; do sleep 0.01; done')
    toolbox.child.kill('SIGTERM')
    expect(await answer).toMatchObject({ exitCode: 143, result: 'begun\n' })
    expect(await toolbox.exited).toBe(0)
  })

  it('dials again when the link is lost, and keeps what runs in the background', async () => {
    const toolbox = start()
    const peer = await own.dialHome.nextPeer()
    await execute(peer, '(while ! [ -e go ]; do sleep 0.01; done; echo survived > result) & true')
    peer.close()
    await toolbox.logged('disconnected')
    const next = await own.dialHome.nextPeer()
    await execute(next, 'touch go; while ! [ -s result ]; do sleep 0.01; done')
    expect(await readFile(join(own.home, 'result'), 'utf8')).toBe('survived\n')
  })

  it('outlives the reader of its log', async () => {
    const toolbox = start()
    const peer = await own.dialHome.nextPeer()
    toolbox.child.stderr?.destroy()
    peer.close()
    const next = await own.dialHome.nextPeer()
    next.close()
    expect(await execute(await own.dialHome.nextPeer(), 'echo alive')).toMatchObject({ result: 'alive\n' })
  })

  it('dials until somebody listens', async () => {
    const socketless = own.dialHome.url.replace('dial-home.sock', 'later.sock')
    const toolbox = start({ ATOLL_CONTROL_URL: socketless })
    await toolbox.logged('"attempts":3')
    expect(toolbox.log()).toContain('cannot connect')
  })

  it('does not ask again soon when its token is refused, yet ends at once when told', async () => {
    const toolbox = start({ ATOLL_TOOLBOX_TOKEN: 'revoked-token' })
    await own.dialHome.nextRefusal()
    toolbox.child.kill('SIGTERM')
    expect(await toolbox.exited).toBe(0)
    expect(own.dialHome.refused).toBe(1)
    expect(toolbox.log()).not.toContain('revoked-token')
  })

  it('names everything that is wrong with its environment and ends with 1', async () => {
    const toolbox = start({ ATOLL_CONTROL_URL: 'http://x', ATOLL_TOOLBOX_TOKEN: '', HOME: 'relative' })
    expect(await toolbox.exited).toBe(1)
    expect(toolbox.log()).toMatch(/ATOLL_CONTROL_URL.*ATOLL_TOOLBOX_TOKEN.*HOME/)
  })
})

describe.runIf(isRoot)('run as an ordinary user (needs root to become one)', () => {
  it('is refused what that user may not do, with 403', async () => {
    await chown(own.home, OTHER_UID, OTHER_UID)
    const secret = join(own.home, 'secret')
    await mkdir(secret, { mode: 0o700 })
    await writeFile(join(secret, 'file'), 'hidden')
    await writeFile(join(own.home, 'read-only'), 'kept', { mode: 0o444 })
    await chown(join(own.home, 'read-only'), OTHER_UID, OTHER_UID)
    start({}, OTHER_UID)
    const peer = await own.dialHome.nextPeer()
    const inside = { path: 'secret/file' }
    const upload = { method: 'POST', path: '/files/upload', headers: MULTIPART_HEADERS, body: form('x') }
    const refused = [
      { method: 'GET', path: '/files', query: { path: 'secret' } },
      { method: 'GET', path: '/files/info', query: inside },
      { method: 'GET', path: '/files/download', query: inside },
      { method: 'DELETE', path: '/files', query: inside },
      { method: 'POST', path: '/files/folder', query: { path: 'secret/new' } },
      { method: 'POST', path: '/files/move', query: { source: 'read-only', destination: 'secret/new' } },
      { ...upload, query: inside },
      { ...upload, query: { path: 'read-only' } },
    ]
    for (const call of refused) {
      expect(bodyOf(await callPeer(peer, call))).toMatchObject({ statusCode: 403, code: 'FILE_ACCESS_DENIED' })
    }
    expect(await readFile(join(own.home, 'read-only'), 'utf8')).toBe('kept')
    expect(await execute(peer, 'id -u')).toMatchObject({ exitCode: 0, result: `${OTHER_UID}\n` })
    const badCwd = { command: 'pwd', cwd: 'secret' }
    const answer = await callPeer(peer, { method: 'POST', path: '/process/execute', json: badCwd })
    expect(bodyOf(answer)).toMatchObject({ exitCode: -1, result: expect.stringContaining('permission denied') })
  })
})
