import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

let folder: string
let daemon: string
const children: ChildProcess[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-service-'))
  daemon = join(folder, 'daemon.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, 'testing/daemon.ts')],
    outfile: daemon,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => rm(folder, { recursive: true }))

describe('runService', () => {
  it('says ready, runs its phases on SIGTERM and exits 0', async () => {
    const run = start('plain')
    expect(await run.message).toEqual({ type: 'ready', url: 'http://127.0.0.1:1' })
    run.child.kill('SIGTERM')
    expect(await run.exit).toEqual([0, null])
    expect(run.output()).toContain('second phase ran')
  })

  it('goes on to the next phase when one passes its deadline', async () => {
    const run = start('late')
    await run.message
    run.child.kill('SIGINT')
    expect(await run.exit).toEqual([0, null])
    expect(run.output()).toContain('passed its deadline')
    expect(run.output()).toContain('second phase ran')
  })

  it('exits at once on a second signal', async () => {
    const run = start('stuck')
    await run.message
    run.child.kill('SIGTERM')
    await run.logged('shutting down')
    run.child.kill('SIGTERM')
    expect(await run.exit).toEqual([1, null])
  })

  it('shuts down when its supervisor is gone', async () => {
    const run = start('plain')
    await run.message
    run.child.disconnect()
    expect(await run.exit).toEqual([0, null])
    expect(run.output()).toContain('supervisor gone')
  })

  it('tells why it could not start and exits 1', async () => {
    const run = start('fail')
    expect(await run.message).toEqual({ type: 'failed', message: 'port 1 is taken' })
    expect(await run.exit).toEqual([1, null])
  })

  it('keeps secrets out of the log', async () => {
    const run = start('plain')
    await run.message
    run.child.kill('SIGTERM')
    await run.exit
    expect(run.output()).toContain('[redacted]')
    expect(run.output()).not.toContain('hunter2')
  })
})

function start(mode: string) {
  const child = fork(daemon, [mode], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  children.push(child)
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  return {
    child,
    output: () => text,
    message: once(child, 'message').then(([message]) => message),
    // The event is not `close`: Node never emits it after disconnect().
    exit: Promise.all([once(child, 'exit'), once(child.stdout ?? child, 'end')]).then(([exit]) => exit),
    logged: async (words: string) => {
      while (!text.includes(words)) await once(child.stdout ?? child, 'data')
    },
  }
}
