import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identifyProcess } from '@atoll/service'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { StartedUp } from '../testing/started-up.ts'
import { startUp } from '../testing/started-up.ts'

let folder: string
let bundle: string
let dataDir: string
const started: StartedUp[] = []

beforeAll(async () => {
  // The bundle lies in the workspace, so that it finds its npm packages.
  folder = mkdtempSync(join(import.meta.dirname, '../../node_modules/.up-test-'))
  bundle = join(folder, 'up.mjs')
  await build({
    entryPoints: [join(import.meta.dirname, '../testing/up-with-stand-ins.ts')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['typebox', 'typebox/*'],
  })
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(() => {
  dataDir = join(mkdtempSync(join(tmpdir(), 'atoll-up-')), 'data')
})
afterEach(async () => {
  for (const one of started.splice(0)) {
    one.child.kill('SIGTERM')
    await one.ended
  }
  rmSync(join(dataDir, '..'), { recursive: true })
})

function start(env: Record<string, string> = {}): StartedUp {
  const one = startUp(bundle, { ATOLL_DATA_DIR: dataDir, ...env })
  started.push(one)
  return one
}

describe('atoll up', () => {
  it('prints where it runs, the new key and an example, and shows warnings only', async () => {
    const run = start()
    await run.printed('sandbox.delete()')
    expect(run.output()).toMatch(/Atoll 0\.0\.0 runs at http:\/\/127\.0\.0\.1:\d+/)
    expect(run.output()).toContain('dtn_stand-in  (shown this once)')
    expect(run.output()).toContain('api warn: odd: the reason')
    expect(run.output()).not.toContain('listening')
    expect(readFileSync(join(dataDir, 'logs/api.log'), 'utf8')).toContain('listening')
  })

  it('keeps its data folder and the runner token to its owner', async () => {
    const run = start()
    await run.printed('runs at')
    expect(statSync(dataDir).mode & 0o777).toBe(0o700)
    expect(statSync(join(dataDir, 'runner-token')).mode & 0o777).toBe(0o600)
  })

  it('shows the key on the first start only', async () => {
    const first = start()
    await first.printed('runs at')
    first.child.kill('SIGTERM')
    await first.ended
    const second = start()
    await second.printed('sandbox.delete()')
    expect(second.output()).not.toContain('dtn_stand-in')
  })

  it('ends the runner, then the API, on SIGTERM and exits 0', async () => {
    const run = start()
    await run.printed('sandbox.delete()')
    run.child.kill('SIGTERM')
    expect(await run.ended).toEqual([0, null])
    expect(run.events().slice(-2)).toEqual(['runner ended by SIGTERM', 'api ended by SIGTERM'])
    expect(existsSync(join(dataDir, 'up.lock'))).toBe(false)
  })

  it('takes two SIGINT at once for one', async () => {
    const run = start()
    await run.printed('sandbox.delete()')
    run.child.kill('SIGINT')
    run.child.kill('SIGINT')
    expect(await run.ended).toEqual([0, null])
  })

  it('starts a killed API again on its port', async () => {
    const run = start()
    await run.printed('sandbox.delete()')
    const url = /runs at (\S+)/.exec(run.output())?.[1] ?? ''
    process.kill(run.pidOf('api'), 'SIGKILL')
    await run.printed('the api runs again')
    const taken = createServer().listen(Number(new URL(url).port), '127.0.0.1')
    await expect(once(taken, 'listening')).rejects.toThrow('EADDRINUSE')
  })

  it('hands the database to the API alone', async () => {
    const run = start({ DATABASE_URL: 'postgres://elsewhere' })
    await run.printed('sandbox.delete()')
    expect(run.events()).toEqual(['api ready, database postgres://elsewhere', 'runner ready, database none'])
  })

  it('tells in one line why a program cannot start, and ends the other', async () => {
    const run = start({ STAND_IN_RUNNER: 'fail' })
    expect(await run.ended).toEqual([1, null])
    expect(run.output()).toContain('the runner cannot start: the runner lacks something\n')
    expect(run.events().at(-1)).toBe('api ended by SIGTERM')
  })

  it('names a port that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const run = start({ ATOLL_PORT: String(port) })
    expect(await run.ended).toEqual([1, null])
    taken.close()
    expect(run.output()).toBe(`port ${port} on 127.0.0.1 is taken: end what listens there or set ATOLL_PORT\n`)
  })

  it('names a data folder that is in use', async () => {
    const first = start()
    await first.printed('sandbox.delete()')
    const second = start()
    expect(await second.ended).toEqual([1, null])
    expect(second.output()).toBe(`data folder ${dataDir} is in use by another Atoll (process ${first.child.pid})\n`)
  })

  it('starts again after a kill -9, once what it had started is gone', async () => {
    const first = start()
    await first.printed('sandbox.delete()')
    const pids = [first.pidOf('api'), first.pidOf('runner')]
    first.child.kill('SIGKILL')
    await first.ended
    const second = start()
    await second.printed('sandbox.delete()')
    expect(pids.map(identifyProcess)).toEqual([undefined, undefined])
    expect(second.events().filter((event) => event.endsWith('disconnect'))).toHaveLength(2)
  })
})
