import { execFile } from 'node:child_process'
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TunnelPeer } from '@atoll/tunnel'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DialHome, ToolboxProcess } from './testing/bundle.ts'
import { buildBundle, readNodeFlags, startDialHome, startToolbox, TOKEN } from './testing/bundle.ts'
import { form, MULTIPART_HEADERS } from './testing/multipart.ts'
import { bodyOf, callPeer } from './testing/test-toolbox.ts'

/** The id of a user other than root, without a name here. */
const OTHER_UID = 54_321
const isRoot = process.getuid?.() === 0

let bundle: Awaited<ReturnType<typeof buildBundle>>
let nodeFlags: string[]
let dialHome: DialHome
let home: string
const started: ToolboxProcess[] = []

beforeAll(async () => {
  bundle = await buildBundle()
  nodeFlags = await readNodeFlags()
})
afterAll(() => rm(bundle.folder, { recursive: true }))
beforeEach(async () => {
  dialHome = await startDialHome()
  home = await mkdtemp(join(tmpdir(), 'atoll-home-'))
})
afterEach(async () => {
  for (const process of started.splice(0)) await process[Symbol.asyncDispose]()
  await dialHome[Symbol.asyncDispose]()
  await rm(home, { recursive: true })
})

function start(env: Record<string, string> = {}, uid?: number): ToolboxProcess {
  const process = startToolbox({
    main: bundle.main,
    nodeFlags,
    env: {
      HOME: home,
      ATOLL_CONTROL_URL: dialHome.url,
      ATOLL_TOOLBOX_TOKEN: TOKEN,
      ATOLL_SANDBOX_ID: 'sandbox-1',
      KEPT: 'kept',
      ...env,
    },
    ...(uid === undefined ? {} : { uid }),
  })
  started.push(process)
  return process
}

const execute = async (peer: TunnelPeer, command: string) =>
  bodyOf(await callPeer(peer, { method: 'POST', path: '/process/execute', json: { command } }))

describe('the built toolbox', () => {
  it('brings what V8 compiled of it, for the options that it is started with', async () => {
    const probe = 'process.stdout.write(String(require(process.argv[1]).cachedDataRejected))'
    const run = promisify(execFile)(process.execPath, [...nodeFlags, '--eval', probe, bundle.main], { env: {} })
    // Without a control plane the toolbox reports that, and ends with 1.
    expect(await run.catch((error: unknown) => error)).toMatchObject({ code: 1, stdout: 'false' })
  })

  it('dials home, answers calls and ends with 0 on SIGTERM', async () => {
    const toolbox = start()
    const peer = await dialHome.nextPeer()
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/project-dir' }))).toEqual({ dir: home })
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
    const peer = await dialHome.nextPeer()
    const { result } = await execute(peer, 'env; pwd')
    const lines = String(result).split('\n')
    expect(lines).toContain('KEPT=kept')
    expect(lines.at(-2)).toBe('/')
    expect(String(result)).not.toContain('ATOLL_')
    expect(String(result)).not.toContain(TOKEN)
  })

  it("works in the image's directory where it may, and has its project at home", async () => {
    start({ ATOLL_WORK_DIR: '/usr' })
    const peer = await dialHome.nextPeer()
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/project-dir' }))).toEqual({ dir: home })
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/work-dir' }))).toEqual({ dir: '/usr' })
    const { result } = await execute(peer, 'pwd')
    expect(result).toBe('/usr\n')
  })

  it('works at home where the image names a directory that is not there', async () => {
    start({ ATOLL_WORK_DIR: '/not/there' })
    const peer = await dialHome.nextPeer()
    expect(bodyOf(await callPeer(peer, { method: 'GET', path: '/work-dir' }))).toEqual({ dir: home })
  })

  it("gives commands the sandbox's own environment, which it does not take for its own", async () => {
    start({ ATOLL_ENV_NODE_OPTIONS: '--require=/not/there', ATOLL_ENV_LD_PRELOAD: '', ATOLL_ENV_KEPT: 'replaced' })
    const peer = await dialHome.nextPeer()
    const { result } = await execute(peer, 'env')
    const lines = String(result).split('\n')
    expect(lines).toContain('NODE_OPTIONS=--require=/not/there')
    expect(lines).toContain('KEPT=replaced')
  })

  it('answers the calls of commands that it ends at shutdown', async () => {
    const toolbox = start()
    const peer = await dialHome.nextPeer()
    const answer = execute(peer, 'echo begun; touch begun; sleep 1000')
    await execute(peer, 'while ! [ -e begun ]; do sleep 0.01; done')
    toolbox.child.kill('SIGTERM')
    expect(await answer).toMatchObject({ exitCode: 143, result: 'begun\n' })
    expect(await toolbox.exited).toBe(0)
  })

  it('dials again when the link is lost, and keeps what runs in the background', async () => {
    const toolbox = start()
    const peer = await dialHome.nextPeer()
    await execute(peer, '(while ! [ -e go ]; do sleep 0.01; done; echo survived > result) & true')
    peer.close()
    await toolbox.logged('disconnected')
    const next = await dialHome.nextPeer()
    await execute(next, 'touch go; while ! [ -s result ]; do sleep 0.01; done')
    expect(await readFile(join(home, 'result'), 'utf8')).toBe('survived\n')
  })

  it('outlives the reader of its log', async () => {
    const toolbox = start()
    const peer = await dialHome.nextPeer()
    toolbox.child.stderr?.destroy()
    peer.close()
    const next = await dialHome.nextPeer()
    next.close()
    expect(await execute(await dialHome.nextPeer(), 'echo alive')).toMatchObject({ result: 'alive\n' })
  })

  it('dials until somebody listens', async () => {
    const socketless = dialHome.url.replace('dial-home.sock', 'later.sock')
    const toolbox = start({ ATOLL_CONTROL_URL: socketless })
    await toolbox.logged('"attempts":3')
    expect(toolbox.log()).toContain('cannot connect')
  })

  it('does not ask again soon when its token is refused, yet ends at once when told', async () => {
    const toolbox = start({ ATOLL_TOOLBOX_TOKEN: 'revoked-token' })
    await dialHome.nextRefusal()
    toolbox.child.kill('SIGTERM')
    expect(await toolbox.exited).toBe(0)
    expect(dialHome.refused).toBe(1)
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
    await chown(home, OTHER_UID, OTHER_UID)
    const secret = join(home, 'secret')
    await mkdir(secret, { mode: 0o700 })
    await writeFile(join(secret, 'file'), 'hidden')
    await writeFile(join(home, 'read-only'), 'kept', { mode: 0o444 })
    await chown(join(home, 'read-only'), OTHER_UID, OTHER_UID)
    start({}, OTHER_UID)
    const peer = await dialHome.nextPeer()
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
    expect(await readFile(join(home, 'read-only'), 'utf8')).toBe('kept')
    expect(await execute(peer, 'id -u')).toMatchObject({ exitCode: 0, result: `${OTHER_UID}\n` })
    const badCwd = { command: 'pwd', cwd: 'secret' }
    const answer = await callPeer(peer, { method: 'POST', path: '/process/execute', json: badCwd })
    expect(bodyOf(answer)).toMatchObject({ exitCode: -1, result: expect.stringContaining('permission denied') })
  })
})
