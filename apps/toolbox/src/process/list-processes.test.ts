import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

async function list(): Promise<Record<string, unknown>[]> {
  const { processes } = bodyOf(await toolbox.call('GET', '/process'))
  return Array.isArray(processes) ? processes : []
}
const end = (pid: unknown, query: Record<string, string> = {}) => toolbox.call('DELETE', `/process/${pid}`, { query })

describe('the list of processes', () => {
  it('has each with its parent, user, command line, state, start, memory and processor time', async () => {
    const before = Date.now()
    const child = spawn('sleep', ['1000', 'a b'], { stdio: 'ignore' })
    const own = spawn('sleep', ['1000'], { stdio: 'ignore' })
    const find = async () => (await list()).find(({ pid }) => pid === own.pid)
    // The program replaces the started process a moment after the start.
    await expect.poll(async () => (await find())?.['state']).toBe('S')
    const found = await find()
    child.kill('SIGKILL')
    own.kill('SIGKILL')
    expect(found).toEqual({
      pid: own.pid,
      ppid: process.pid,
      user: process.getuid?.() === 0 ? 'root' : expect.any(String),
      command: 'sleep 1000',
      state: 'S',
      startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      memoryBytes: expect.any(Number),
      cpuTimeMs: expect.any(Number),
    })
    expect(Math.abs(Date.parse(String(found?.['startedAt'])) - before)).toBeLessThan(5_000)
    expect(found?.['memoryBytes']).toBeGreaterThan(10_000)
  })

  it('has this process, with the time it has used', async () => {
    const own = (await list()).find(({ pid }) => pid === process.pid)
    expect(own?.['cpuTimeMs']).toBeGreaterThan(0)
  })
})

describe('ending a process', () => {
  it.each([
    [{}, 'SIGTERM'],
    [{ signal: 'kill' }, 'SIGKILL'],
    [{ signal: 'SIGINT' }, 'SIGINT'],
    [{ signal: '1' }, 'SIGHUP'],
  ])('with %j sends %s', async (query, signal) => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
    const exited = once(child, 'exit')
    await once(child, 'spawn')
    expect(await end(child.pid, query)).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect(await exited).toEqual([null, signal])
  })

  it('has its errors', async () => {
    expect(bodyOf(await end(4_194_304))).toMatchObject({ statusCode: 404, code: 'PROCESS_NOT_FOUND' })
    expect(bodyOf(await end(process.pid))).toMatchObject({ statusCode: 403 })
    for (const pid of ['0', '-1', 'x', '1e3', '99999999']) expect((await end(pid)).status).toBe(400)
    expect((await end(4_194_304, { signal: 'SIGNOTHING' })).status).toBe(400)
  })
})
