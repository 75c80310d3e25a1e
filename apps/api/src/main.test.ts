import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { connect } from './database/database.ts'
import { processesOn } from './testing/processes.ts'
import type { Program } from './testing/program.ts'
import { bundleProgram } from './testing/program.ts'
import { openSocket } from './testing/raw-http.ts'
import { createTestDatabase } from './testing/test-database.ts'
import { until } from './testing/until.ts'

let main: Program
/** The same program with no deadline on its shutdown phases: these tests check the order, not the machine's speed. */
let patient: Program
let migrate: Program
let dataDir: string
let env: Record<string, string>

beforeAll(async () => {
  main = await bundleProgram('main.ts')
  patient = await bundleProgram('testing/patient-main.ts')
  migrate = await bundleProgram('migrate.ts')
})
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'atoll-main-'))
  env = { ATOLL_DATA_DIR: dataDir, ATOLL_PORT: '0', ATOLL_DIAL_HOME_DIR: join(dataDir, 'dial-home') }
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))
afterAll(async () => {
  await main[Symbol.asyncDispose]()
  await patient[Symbol.asyncDispose]()
  await migrate[Symbol.asyncDispose]()
})

test('it starts from nothing, ends whole on SIGTERM, and starts again after kill -9 with the same key', async () => {
  const first = patient.start(env)
  const url = await readyUrl(first.message)
  expect((await fetch(`${url}/api/health`)).status).toBe(200)
  const key = await keyInFile()
  expect(await statusWith(url, key)).toBe(200)
  first.child.kill('SIGTERM')
  expect(await first.exited).toEqual({ code: 0, signal: null })
  expect(first.output()).not.toContain(key)
  expect(first.output()).not.toContain('passed its deadline')
  expect(await processesOn(dataDir)).toEqual([])

  const second = main.start(env)
  expect(await statusWith(await readyUrl(second.message), key)).toBe(200)
  second.child.kill('SIGKILL')
  await untilNothingRuns()

  const third = main.start(env)
  expect(await statusWith(await readyUrl(third.message), key)).toBe(200)
  expect(await keyInFile()).toBe(key)
  third.child.kill('SIGTERM')
  expect(await third.exited).toEqual({ code: 0, signal: null })
})

test('it ends when its supervisor is gone', async () => {
  const run = main.start(env)
  await readyUrl(run.message)
  run.child.disconnect()
  expect(await run.exited).toEqual({ code: 0, signal: null })
})

test('a data folder that another one uses is refused in one line, and the other works on', async () => {
  const first = main.start(env)
  const url = await readyUrl(first.message)
  const second = main.start(env)
  const message = `data folder ${join(dataDir, 'postgres')} is in use by another Atoll (process ${first.child.pid})`
  expect(await second.message).toEqual({ type: 'failed', message })
  expect(await second.exited).toEqual({ code: 1, signal: null })
  expect((await fetch(`${url}/api/health`)).status).toBe(200)
  expect(second.output()).not.toMatch(/UnhandledPromise|^\s+at /m)
})

test('a port that is taken is refused in one line, and nothing stays behind', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const run = main.start({ ...env, ATOLL_PORT: String(port) })
  expect(await run.message).toEqual({ type: 'failed', message: `port ${port} on 127.0.0.1 is in use` })
  expect(await run.exited).toEqual({ code: 1, signal: null })
  await untilNothingRuns()
  other.close()
})

test('a request under way is answered before the end, and no new one is taken', async () => {
  const run = patient.start(env)
  const { socket, port, received } = await requestUnderWay(await readyUrl(run.message))
  run.child.kill('SIGTERM')
  await until('no new connection is taken', () => isRefused(port))
  socket.write('5}')
  await once(socket, 'close')
  expect(received()).toMatch(/HTTP\/1\.1 400 [\s\S]*"code":"VALIDATION_FAILED"/)
  expect(await run.exited).toEqual({ code: 0, signal: null })
  expect(run.output()).not.toContain('passed its deadline')
})

test('a request that never ends is cut off, and everything else still ends in order', async () => {
  const run = main.start(env)
  const { socket } = await requestUnderWay(await readyUrl(run.message))
  run.child.kill('SIGTERM')
  await once(socket, 'close')
  expect(await run.exited).toEqual({ code: 0, signal: null })
  expect(run.output()).toContain('"phase":"requests"')
  await untilNothingRuns()
})

test('a database that is given is used, and migrated by its own command', async () => {
  await using database = await createTestDatabase()
  const given = database.address
  if (!('socketDir' in given)) throw new Error('the test database has no socket')
  const url = `postgres://${given.user}@localhost/${given.database}?host=${encodeURIComponent(given.socketDir)}`
  await database.sql`drop schema public cascade`
  await database.sql`create schema public`
  await database.sql`drop schema drizzle cascade`
  const migration = migrate.start({ ...env, DATABASE_URL: url })
  expect(await migration.exited).toEqual({ code: 0, signal: null })
  const sql = connect({ url }, { max: 1 })
  expect(await sql`select 1 from api_keys`).toHaveLength(0)
  await sql.end()
  const run = main.start({ ...env, DATABASE_URL: url })
  expect((await fetch(`${await readyUrl(run.message)}/api/health`)).status).toBe(200)
  expect(await processesOn(dataDir)).toEqual([])
  run.child.kill('SIGTERM')
  expect(await run.exited).toEqual({ code: 0, signal: null })
})

test('a database that does not answer is told in one line without its password', async () => {
  const run = main.start({ ...env, DATABASE_URL: 'postgres://atoll:hunter2@127.0.0.1:1/atoll' })
  expect(await run.message).toMatchObject({ type: 'failed', message: expect.stringContaining('127.0.0.1:1') })
  expect(await run.exited).toEqual({ code: 1, signal: null })
  expect(run.output()).not.toContain('hunter2')
})

async function readyUrl(message: Promise<unknown>): Promise<string> {
  const said = await message
  expect(said).toEqual({ type: 'ready', url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/) })
  return (said as { url: string }).url
}

/**
 * Waits until no process runs on the data folder: a database that outlives its phase ends by itself, as after a kill.
 */
function untilNothingRuns(): Promise<void> {
  return until('nothing runs on the data folder', async () => (await processesOn(dataDir)).length === 0)
}

async function keyInFile(): Promise<string> {
  return (await readFile(join(dataDir, 'api-key'), 'utf8')).trim()
}

async function statusWith(url: string, key: string): Promise<number> {
  return (await fetch(`${url}/api/sandbox`, { headers: { authorization: `Bearer ${key}` } })).status
}

async function isRefused(port: number): Promise<boolean> {
  try {
    const socket = await openSocket(port)
    socket.destroy()
    return false
  } catch {
    return true
  }
}

/** Sends a request whose head the API has taken and whose body lacks its last two bytes. */
async function requestUnderWay(url: string) {
  const port = Number(new URL(url).port)
  const socket = await openSocket(port)
  let received = ''
  socket.setEncoding('utf8').on('data', (data: string) => {
    received += data
  })
  const body = '{"snapshot":5}'
  const headers = ['host: x', `authorization: Bearer ${await keyInFile()}`, `content-length: ${body.length}`]
  socket.write(`POST /api/sandbox HTTP/1.1\r\n${[...headers, 'expect: 100-continue'].join('\r\n')}\r\n\r\n`)
  await until('the head is taken', () => received.startsWith('HTTP/1.1 100'))
  socket.write(body.slice(0, -2))
  return { socket, port, received: () => received }
}
