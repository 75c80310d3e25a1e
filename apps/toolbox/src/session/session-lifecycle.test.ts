import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSession } from '../testing/session-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'
import { MAX_WAITING_COMMANDS } from './session.ts'
import { MAX_SHOWN_CHARS } from './session-command.ts'
import { MAX_SESSIONS } from './sessions.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const create = (sessionId: unknown) => toolbox.call('POST', '/process/session', { json: { sessionId } })
const get = async (path: string) => bodyOf(await toolbox.call('GET', path))
const file = (name: string) => join(toolbox.folder, name)

/** Waits until a command has written the numbers of its processes, and returns them. */
async function numbersIn(name: string, count: number): Promise<number[]> {
  for (;;) {
    const numbers = (await readFile(file(name), 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number)
    if (numbers.length === count) return numbers
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function lives(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat !== '' && !/^\d+ \(.*\) [ZX]/s.test(stat)
}

describe('a session', () => {
  it('is made, listed, read and deleted', async () => {
    expect(await create('a b/ü')).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect(JSON.parse((await toolbox.call('GET', '/process/session')).body.toString())).toEqual([
      { sessionId: 'a b/ü', commands: [] },
    ])
    const path = `/process/session/${encodeURIComponent('a b/ü')}`
    expect(await get(path)).toEqual({ sessionId: 'a b/ü', commands: [] })
    expect(await toolbox.call('DELETE', path)).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect((await toolbox.call('GET', path)).status).toBe(404)
    expect((await toolbox.call('DELETE', path)).status).toBe(404)
    expect((await create('a b/ü')).status).toBe(200)
  })

  it.each(['', 7, null, undefined, 'x'.repeat(256)])('cannot be called %j', async (id) => {
    expect(bodyOf(await create(id))).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED' })
  })

  it('is there once, also when two ask at once', async () => {
    const statuses = (await Promise.all([create('x'), create('x')])).map(({ status }) => status)
    expect(statuses.sort()).toEqual([200, 409])
    expect(bodyOf(await create('x'))).toMatchObject({ code: 'CONFLICT' })
  })

  it('is deleted once, also when two ask at once', async () => {
    const session = await createSession(toolbox)
    const statuses = (await Promise.all([session.remove(), session.remove()])).map(({ status }) => status)
    expect(statuses.sort()).toEqual([200, 404])
  })

  it('starts in the work directory', async () => {
    const session = await createSession(toolbox)
    expect((await session.run('pwd')).stdout).toBe(`${toolbox.folder}\n`)
  })

  it('is one of a bounded number', async () => {
    const ids = Array.from({ length: MAX_SESSIONS }, (_, index) => `s${index}`)
    await Promise.all(ids.map(create))
    expect(bodyOf(await create('more'))).toMatchObject({ statusCode: 429, code: 'RATE_LIMITED' })
    await toolbox.call('DELETE', '/process/session/s0')
    expect((await create('more')).status).toBe(200)
  })
})

describe('commands of a session', () => {
  it('are answered 404 where the session or the command is unknown', async () => {
    const { path } = await createSession(toolbox)
    for (const target of ['/process/session/none/command/x', `${path}/command/x`, `${path}/command/x/logs`]) {
      expect(bodyOf(await toolbox.call('GET', target))).toMatchObject({ statusCode: 404, code: 'NOT_FOUND' })
    }
    const exec = await toolbox.call('POST', '/process/session/none/exec', { json: { command: 'true' } })
    expect(bodyOf(exec)).toMatchObject({ statusCode: 404 })
  })

  it.each(['', ' \n', 'a\0b'])('cannot be %j', async (command) => {
    const session = await createSession(toolbox)
    expect(bodyOf(await session.exec({ command }))).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED' })
  })

  it('run one after another, and have no exit code before their end', async () => {
    const session = await createSession(toolbox)
    const first = await session.start(
      'while ! [ -e go ]; do sleep 0.01; done; echo first >> order; exit_with() { return 3; }; exit_with',
    )
    const second = await session.start('echo second >> order')
    const third = session.run('cat order')
    expect(await session.command(first)).not.toHaveProperty('exitCode')
    expect(await session.command(second)).toEqual({ id: second, command: 'echo second >> order' })
    await writeFile(file('go'), '')
    expect((await third).stdout).toBe('first\nsecond\n')
    expect(await session.command(first)).toMatchObject({ exitCode: 3 })
    expect(await session.command(second)).toMatchObject({ exitCode: 0 })
    const { commands } = await get(session.path)
    expect(commands).toMatchObject([{ id: first }, { id: second }, { command: 'cat order' }])
  })

  it('that wait are bounded', async () => {
    const session = await createSession(toolbox)
    await session.start('while ! [ -e go ]; do sleep 0.01; done')
    await Promise.all(Array.from({ length: MAX_WAITING_COMMANDS }, () => session.start('true')))
    const refused = await session.exec({ command: 'true', runAsync: true })
    expect(bodyOf(refused)).toMatchObject({ statusCode: 429, code: 'RATE_LIMITED' })
    await writeFile(file('go'), '')
  })

  it('that are very long are run whole, shown cut, and forgotten when they are many', async () => {
    const session = await createSession(toolbox)
    const text = 'x'.repeat(200_000)
    expect((await session.run(`printf %s '${text}' | wc -c`)).stdout.trim()).toBe('200000')
    for (let count = 0; count < 20; count += 1) await session.run(`: '${text}'`)
    const { commands } = await get(session.path)
    expect(Array.isArray(commands) && commands.length).toBeLessThanOrEqual(16)
    expect(JSON.stringify(commands)).toContain('… [cut]')
    expect(JSON.stringify(commands).length).toBeLessThan(17 * MAX_SHOWN_CHARS)
  })

  it('go on when their caller goes away', async () => {
    const session = await createSession(toolbox)
    const caller = new AbortController()
    const answer = toolbox.call('POST', `${session.path}/exec`, {
      json: {
        command: 'touch started; while ! [ -e go ]; do sleep 0.01; done; echo done > finished; echo 1 >> finished',
      },
      signal: caller.signal,
    })
    while ((await readFile(file('started')).catch(() => undefined)) === undefined);
    caller.abort()
    await expect(answer).rejects.toMatchObject({ code: 'CANCELLED' })
    await writeFile(file('go'), '')
    expect((await session.run('cat finished')).stdout).toBe('done\n1\n')
  })

  it('answer 202 when async, under either name, and 200 else', async () => {
    const session = await createSession(toolbox)
    for (const flag of ['runAsync', 'async']) {
      const response = await session.exec({ command: 'true', [flag]: true })
      expect([response.status, Object.keys(bodyOf(response))]).toEqual([202, ['cmdId']])
    }
    expect((await session.exec({ command: 'true', runAsync: false })).status).toBe(200)
  })
})

describe('a shell that ends', () => {
  it('leaves its session readable, with exit codes, and answers 410 to more', async () => {
    const session = await createSession(toolbox)
    const id = await session.start('echo last; exit 7')
    expect(await session.ended(id)).toBe(7)
    expect(bodyOf(await session.exec({ command: 'true' }))).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED' })
    expect(bodyOf(await session.input(id, 'x'))).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED' })
    expect(await session.logged(id, 'last')).toBe('last\n')
    expect(await get(session.path)).toMatchObject({ commands: [{ id, exitCode: 7 }] })
    expect((await session.remove()).status).toBe(200)
  })

  it('answers 410 to a sync command that waited', async () => {
    const session = await createSession(toolbox)
    await session.start('while ! [ -e go ]; do sleep 0.01; done; exit 1')
    const waiting = session.exec({ command: 'echo never' })
    await writeFile(file('go'), '')
    expect(bodyOf(await waiting)).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED' })
  })
})

describe('deleting a session', () => {
  it('ends all it has started: what ignores SIGTERM, background jobs, and what has left its group', async () => {
    const session = await createSession(toolbox)
    await session.start(
      `sh -c 'trap "" TERM; echo $$ >> pids; while :; do sleep 1; done' & sleep 1000 & echo $! >> pids
       setsid sh -c '(trap "" TERM; echo $$ >> pids; while :; do sleep 1; done) &' & echo $$ >> pids; sleep 1000`,
    )
    const pids = await numbersIn('pids', 4)
    expect((await session.remove()).status).toBe(200)
    expect(await Promise.all(pids.map(lives))).toEqual([false, false, false, false])
  })

  it('answers 400 to a sync command that runs, and to those that wait', async () => {
    const session = await createSession(toolbox)
    const running = session.exec({ command: 'touch started; sleep 1000' })
    const waiting = session.exec({ command: 'true' })
    while ((await readFile(file('started')).catch(() => undefined)) === undefined);
    expect((await session.remove()).status).toBe(200)
    expect(bodyOf(await running)).toMatchObject({ statusCode: 400 })
    expect(bodyOf(await waiting)).toMatchObject({ statusCode: 400 })
  })

  it('ends a storm of forks', async () => {
    const session = await createSession(toolbox)
    // Each process starts the next and ends, so that no list of processes is ever true. Their number stays the same, for
    // the host's sake, and they end by themselves in case nothing ends them.
    const storm = '[ -e stop ] || [ $1 -gt 2000 ] || { sleep 0.01; echo $1 > reached; storm $(($1 + 1)) & }'
    await session.start(`storm() { ${storm}; }; for i in $(seq 20); do storm 0 & done; wait; sleep 600`)
    while ((await readFile(file('reached'), 'utf8').catch(() => '')) === '');
    expect((await session.remove()).status).toBe(200)
    await writeFile(file('reached'), 'ended')
    const after = await createSession(toolbox, 'after')
    await after.run('sleep 0.2')
    expect(await readFile(file('reached'), 'utf8')).toBe('ended')
    await writeFile(file('stop'), '')
  })

  it('happens at shutdown', async () => {
    const session = await createSession(toolbox)
    await session.start(`setsid sh -c 'trap "" TERM; echo $$ > pids; while :; do sleep 1; done'`)
    const [pid = 0] = await numbersIn('pids', 1)
    await toolbox[Symbol.asyncDispose]()
    expect(await lives(pid)).toBe(false)
    toolbox = await createTestToolbox()
  })
})

describe('the entrypoint session', () => {
  it('is there and empty where the sandbox has no entrypoint, and is not listed', async () => {
    expect(await get('/process/session/entrypoint')).toEqual({ sessionId: 'entrypoint', commands: [] })
    expect((await toolbox.call('GET', '/process/session/entrypoint/logs?follow=true')).body).toEqual(Buffer.alloc(0))
    expect((await toolbox.call('GET', '/process/session')).body.toString()).toBe('[]')
  })

  it('has the command of the sandbox, its log and its exit code', async () => {
    await using made = await createTestToolbox({}, ['sh', '-c', 'echo "$1"; exit 3', 'x', `it's "here"`])
    const session = async () => bodyOf(await made.call('GET', '/process/session/entrypoint'))
    const logs = await made.call('GET', '/process/session/entrypoint/logs?follow=true')
    expect(logs.body.toString()).toBe(`it's "here"\n`)
    expect(await session()).toMatchObject({ sessionId: 'entrypoint', commands: [{ exitCode: 3 }] })
    expect((await made.call('GET', '/process/session')).body.toString()).toBe('[]')
  })

  it('is read-only', async () => {
    expect((await create('entrypoint')).status).toBe(409)
    expect((await toolbox.call('DELETE', '/process/session/entrypoint')).status).toBe(405)
    const exec = await toolbox.call('POST', '/process/session/entrypoint/exec', { json: { command: 'true' } })
    expect(exec.status).toBe(403)
  })
})
