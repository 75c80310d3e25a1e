import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { createLogger } from '@atoll/service'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Program } from '../testing/program.ts'
import { bundleProgram } from '../testing/program.ts'
import { SURVIVES_KILL } from '../testing/survives-kill.ts'
import { until } from '../testing/until.ts'
import type { DatabaseAddress } from './database.ts'
import { connect } from './database.ts'
import { startEmbeddedPostgres } from './embedded-postgres.ts'

const log = createLogger('test', 'silent')
let owner: Program
/** A cluster to copy, which is quicker than making one for each test. */
let template: string
let dir: string

beforeAll(async () => {
  owner = await bundleProgram('testing/postgres-owner.ts')
  template = await mkdtemp(join(tmpdir(), 'atoll-embedded-'))
  const postgres = await startEmbeddedPostgres({ dir: template, log, durable: false })
  await postgres.stop()
})
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'atoll-embedded-'))
  await copyCluster(dir)
})
afterEach(async () => {
  await owner.killAll()
  // A server whose owner was killed still writes for a moment.
  await until('no server uses the folder', async () => isGone(await serverIn(dir)))
  await rm(dir, { recursive: true, force: true })
})
afterAll(async () => {
  await owner[Symbol.asyncDispose]()
  await rm(template, { recursive: true, force: true })
})

test('what was written is there at the next start', async () => {
  await using first = await start()
  await query(first.address, 'create table kept as select 42 as answer')
  await first.stop()
  await using second = await start()
  expect(await query(second.address, 'select answer from kept')).toEqual([{ answer: 42 }])
})

test('it listens on no port, and its socket lies in a folder that others may not enter', async () => {
  await using postgres = await start()
  expect(await query(postgres.address, 'show listen_addresses')).toEqual([{ listen_addresses: '' }])
  if (!('socketDir' in postgres.address)) throw new Error('no socket')
  expect((await stat(postgres.address.socketDir)).mode & 0o777).toBe(0o700)
  expect((await stat(dir)).mode & 0o066).toBe(0)
})

test('it ends when its owner is killed, and the next start finds what was committed', async () => {
  const run = owner.start({}, [dir])
  const { pid, address } = await ready(run.message)
  await query(address, 'create table kept as select 42 as answer')
  run.child.kill('SIGKILL')
  await until('the server is gone', () => isGone(pid))
  await using next = await start()
  expect(await query(next.address, 'select answer from kept')).toEqual([{ answer: 42 }])
})

test('it recovers when server and owner are killed together', async () => {
  const run = owner.start({}, [dir])
  const { pid, address } = await ready(run.message)
  await query(address, 'create table kept as select 42 as answer')
  run.child.kill('SIGSTOP')
  process.kill(pid, 'SIGKILL')
  run.child.kill('SIGKILL')
  await run.exited
  await using next = await start()
  expect(await query(next.address, 'select answer from kept')).toEqual([{ answer: 42 }])
})

test('a server that outlived its owner is stopped first', async () => {
  const run = owner.start({}, [dir])
  const { pid } = await ready(run.message)
  process.kill(pid, 'SIGSTOP')
  run.child.kill('SIGKILL')
  await run.exited
  expect(await isGone(pid)).toBe(false)
  const starting = start()
  process.kill(pid, 'SIGCONT')
  await using next = await starting
  expect(await query(next.address, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(await isGone(pid)).toBe(true)
})

test('a folder that a living owner uses is refused in one line that names both', async () => {
  const run = owner.start({}, [dir])
  const { address } = await ready(run.message)
  await expect(start()).rejects.toThrow(`data folder ${dir} is in use by another Atoll (process ${run.child.pid})`)
  expect(await query(address, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a folder whose living owner lost its lock file is refused too', async () => {
  const run = owner.start({}, [dir])
  const { address } = await ready(run.message)
  await rm(join(dir, 'owner.lock'))
  await expect(start()).rejects.toThrow(`data folder ${dir} is in use by another Atoll (process ${run.child.pid})`)
  expect(await query(address, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('of two owners that start at once on a new folder one gets it', async () => {
  await rm(join(dir, 'data'), { recursive: true })
  const results = await Promise.allSettled([start(), start()])
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []))
  await Promise.all(started.map((postgres) => query(postgres.address, 'select 1')))
  await Promise.all(started.map((postgres) => postgres.stop()))
  expect(started).toHaveLength(1)
  expect(reasons).toEqual([expect.stringContaining(`data folder ${dir} is in use`)])
})

test('a pid file that names another program now is no obstacle', async () => {
  await using first = await start()
  await first.stop()
  const stranger = spawn('sleep', ['600'])
  await once(stranger, 'spawn')
  try {
    const lines = [stranger.pid, join(dir, 'data'), 1, 5432, '/nowhere', '', '0 0', 'ready']
    await writeFile(join(dir, 'data', 'postmaster.pid'), `${lines.join('\n')}\n`)
    await using second = await start()
    expect(await query(second.address, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await isGone(stranger.pid ?? 0)).toBe(false)
  } finally {
    stranger.kill('SIGKILL')
    await once(stranger, 'exit')
  }
})

test('what an interrupted first start left is cleared away', async () => {
  await mkdir(join(dir, 'initdb-abcdef'), { recursive: true })
  await using _postgres = await start()
  expect(await readdir(dir)).toEqual(['data', 'owner.lock', expect.stringMatching(/^socket-/)])
})

test('an owner killed while it makes the cluster leaves the folder to the next', async () => {
  await rm(join(dir, 'data'), { recursive: true })
  const run = owner.start({}, [dir])
  await until('the cluster is being made', async () =>
    (await readdir(dir)).some((name) => name.startsWith('initdb-') || name === 'data'),
  )
  run.child.kill('SIGKILL')
  await run.exited
  await using postgres = await start()
  expect(await query(postgres.address, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(await readdir(dir)).toEqual(['data', 'owner.lock', expect.stringMatching(/^socket-/)])
})

test('a path too long for a socket gets one in the temp folder, which is removed', async () => {
  const deep = join(dir, 'd'.repeat(120))
  await copyCluster(deep)
  await using postgres = await start(deep)
  const { address } = postgres
  expect(await query(address, 'select 1 as one')).toEqual([{ one: 1 }])
  if (!('socketDir' in address)) throw new Error('no socket')
  expect(address.socketDir).not.toContain(deep)
  await expect(start(deep)).rejects.toThrow('in use')
  expect(await query(address, 'select 1 as one')).toEqual([{ one: 1 }])
  await postgres.stop()
  await expect(readdir(dirname(address.socketDir))).rejects.toThrow('ENOENT')
})

test('it runs below a folder that only its owner may enter', async () => {
  const closed = join(dir, 'closed')
  await mkdir(closed, { mode: 0o700 })
  await chmod(closed, 0o700)
  await rm(join(dir, 'data'), { recursive: true })
  await using postgres = await start(join(closed, 'postgres'))
  expect(await query(postgres.address, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a server that is killed is started again, on the same socket', async () => {
  await using postgres = await start()
  await query(postgres.address, 'create table kept as select 42 as answer')
  const before = postgres.pid
  process.kill(before, 'SIGKILL')
  await until('another server runs', () => postgres.pid !== before)
  expect(await query(postgres.address, 'select answer from kept')).toEqual([{ answer: 42 }])
})

test('its environment holds nothing of ours', async () => {
  await using postgres = await start()
  const environment = await readFile(`/proc/${postgres.pid}/environ`, 'utf8')
  expect(environment.split('\0').map((line) => line.split('=')[0])).not.toContain('HOME')
})

/** Copies the cluster and keeps its owners, which only cp does. */
async function copyCluster(to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  await promisify(execFile)('cp', ['-a', join(template, 'data'), to])
}

async function start(folder = dir) {
  const postgres = await startEmbeddedPostgres({ dir: folder, log, durable: false, settings: SURVIVES_KILL })
  return {
    address: postgres.address,
    get pid() {
      return postgres.pid
    },
    stop: () => postgres.stop(),
    [Symbol.asyncDispose]: () => postgres.stop(),
  }
}

async function query(address: DatabaseAddress, text: string) {
  const sql = connect(address, { max: 1 })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end()
  }
}

async function ready(message: Promise<unknown>): Promise<{ pid: number; address: DatabaseAddress }> {
  return (await message) as { pid: number; address: DatabaseAddress }
}

/** Returns the process id in the cluster's pid file, whether it runs or not; 0 without a file. */
async function serverIn(folder: string): Promise<number> {
  const text = await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8').catch(() => '')
  return Number(text.split('\n')[0])
}

/** Whether a process has ended. A zombie counts as ended: it only waits for its parent. */
async function isGone(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tZ')
  return /^State:\s+Z/m.test(status)
}
