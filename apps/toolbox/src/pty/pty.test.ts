import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PTY_ENVS_PREFIX, PTY_EXIT_CONTROL } from '@atoll/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PRINT_OOM_SCORE } from '../testing/oom-score.ts'
import type { TestPtys } from '../testing/test-ptys.ts'
import { createTestPtys, endOf, typeLine } from '../testing/test-ptys.ts'
import { bodyOf } from '../testing/test-toolbox.ts'
import { MAX_OPEN_PTYS } from './pty-sessions.ts'

let ptys: TestPtys
beforeEach(async () => {
  ptys = await createTestPtys()
})
afterEach(async () => {
  await ptys[Symbol.asyncDispose]()
  expect(ptys.toolbox.errors).toEqual([])
})

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function untilEnded(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10))
}

describe('a terminal', () => {
  it('is a login shell with the size, folder and environment asked for', async () => {
    await mkdir(join(ptys.toolbox.folder, 'sub'))
    const client = await ptys.open('one', { cwd: 'sub', cols: 100, rows: 30, envs: { ADDED: 'a b' } })
    typeLine(client, 'echo "[$(stty size) $PWD $TERM $LOGIN $FROM_TOOLBOX $ADDED $(tput cols) $0]"')
    expect(await client.until('/bin/bash]\r\n')).toContain(
      `[30 100 ${ptys.toolbox.folder}/sub xterm-256color yes yes a b 100 /bin/bash]`,
    )
    expect(await ptys.describe('one')).toMatchObject({
      id: 'one',
      cwd: `${ptys.toolbox.folder}/sub`,
      envs: { ADDED: 'a b' },
      cols: 100,
      rows: 30,
      active: true,
      lazyStart: false,
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    })
  })

  it('is what the kernel ends when memory runs out', async () => {
    const client = await ptys.open('one')
    typeLine(client, PRINT_OOM_SCORE)
    expect(await client.until('score 500')).toContain('score 500')
  })

  it('takes text and binary messages as what was typed, and interrupts at Ctrl-C', async () => {
    const client = await ptys.open('keys')
    client.socket.send('echo a$((1+1))b\r')
    await client.until('a2b')
    typeLine(client, `bash -c 'echo sta""rted; exec sleep 1000'`)
    await client.until('started')
    client.socket.send(Buffer.from([3]))
    await client.until('> ')
    typeLine(client, 'echo code$?')
    await client.until('code130')
  })

  it('is resized, and its programs are told', async () => {
    const client = await ptys.open('resized')
    typeLine(client, `trap 'echo si""ze:$(stty size)' WINCH; echo rea""dy`)
    await client.until('ready')
    const response = await ptys.resize('resized', { cols: 132, rows: 43 })
    expect(response.status).toBe(200)
    expect(bodyOf(response)).toMatchObject({ cols: 132, rows: 43, active: true })
    typeLine(client, '')
    await client.until('size:43 132')
  })

  it('hands characters over whole', async () => {
    const client = await ptys.open('characters')
    await writeFile(join(ptys.toolbox.folder, 'crabs'), '🦀é'.repeat(20_000))
    typeLine(client, 'cat crabs; echo do""ne')
    let text = ''
    while (!text.includes('done\r\n')) {
      const message = await client.next()
      expect(message).toBeInstanceOf(Buffer)
      text += new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(message))
    }
    expect(text.match(/🦀é/g)).toHaveLength(20_000)
  })

  it('is opened and attached to in one step, with its environment in a subprotocol', async () => {
    const envs = Buffer.from(JSON.stringify({ GREETING: 'grüß dich' })).toString('base64url')
    const client = await ptys.front.connect(`/process/pty/create-connect?id=a%20b&cols=90&rows=20`, {
      subprotocols: [`${PTY_ENVS_PREFIX}${envs}`, PTY_EXIT_CONTROL],
    })
    expect(client.socket.protocol).toBe(PTY_EXIT_CONTROL)
    expect(await client.next()).toBe('{"type":"control","status":"connected"}')
    typeLine(client, 'echo "[$GREETING $(stty size)]"')
    await client.until('[grüß dich 20 90]')
    expect(await ptys.describe('a%20b')).toMatchObject({ id: 'a b', envs: { GREETING: 'grüß dich' } })
  })

  it('may wait for its first client', async () => {
    expect((await ptys.create({ id: 'lazy', lazyStart: true })).status).toBe(201)
    expect(await ptys.describe('lazy')).toMatchObject({ active: false, lazyStart: true })
    await ptys.resize('lazy', { cols: 77, rows: 7 })
    const client = await ptys.attach('lazy')
    expect(await ptys.describe('lazy')).toMatchObject({ active: true, lazyStart: true })
    typeLine(client, 'echo "[$(stty size)]"')
    await client.until('[7 77]')
  })

  it('leaves no terminal of another open in its programs', async () => {
    await ptys.open('first')
    const client = await ptys.open('second')
    typeLine(client, 'echo "open:$(ls -l /proc/$$/fd | grep -c ptmx)."')
    await client.until('open:0.')
  })
})

describe('what is asked of terminals', () => {
  it('lists them', async () => {
    expect(bodyOf(await ptys.toolbox.call('GET', '/process/pty'))).toEqual({ sessions: [] })
    await ptys.create({ id: 'x' })
    await ptys.create({ id: 'y', lazyStart: true })
    expect(bodyOf(await ptys.toolbox.call('GET', '/process/pty'))['sessions']).toMatchObject([{ id: 'x' }, { id: 'y' }])
  })

  it.each([
    [{ id: '' }, 400],
    [{}, 400],
    [{ id: 'x', cols: 1001 }, 400],
    [{ id: 'x', rows: 0 }, 400],
    [{ id: 'x', cols: 1.5 }, 400],
    [{ id: 'x', envs: { 'A=B': '' } }, 400],
    [{ id: 'x', envs: { A: 'a\0b' } }, 400],
    [{ id: 'x', cwd: 'missing' }, 400],
    [{ id: 'x', cwd: 'file' }, 400],
    [{ id: 'x', cwd: 'a\0b' }, 400],
  ])('%j is refused', async (request, status) => {
    await writeFile(join(ptys.toolbox.folder, 'file'), '')
    expect((await ptys.create(request)).status).toBe(status)
    expect((await ptys.toolbox.call('GET', '/process/pty/x')).status).toBe(404)
  })

  it('has one terminal of a name, also when two ask for it at once', async () => {
    const answers = await Promise.all([ptys.create({ id: 'same' }), ptys.create({ id: 'same' })])
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409])
    expect((await ptys.create({ id: 'same' })).status).toBe(409)
  })

  it('opens a bounded number of them', async () => {
    for (let count = 0; count < MAX_OPEN_PTYS; count += 1) await ptys.create({ id: `n${count}`, lazyStart: true })
    expect((await ptys.create({ id: 'more' })).status).toBe(429)
    await ptys.kill('n0')
    expect((await ptys.create({ id: 'more', lazyStart: true })).status).toBe(201)
  })

  it('knows no others', async () => {
    for (const [method, path, json] of [
      ['GET', '/process/pty/none', undefined],
      ['DELETE', '/process/pty/none', undefined],
      ['POST', '/process/pty/none/resize', { cols: 1, rows: 1 }],
    ] as const) {
      expect((await ptys.toolbox.call(method, path, json === undefined ? {} : { json })).status).toBe(404)
    }
  })

  it.each([
    ['/process/pty/none/connect', [], 'there is no terminal "none"'],
    ['/process/pty/create-connect?id=x&cols=1001', [], 'cols must be from 1 to 1000'],
    ['/process/pty/create-connect?id=', [], 'id must have'],
    ['/process/pty/create-connect?id=x&cwd=none', [], 'ENOENT'],
    ['/process/pty/create-connect?id=x', [`${PTY_ENVS_PREFIX}bm8`], 'JSON'],
    ['/process/pty/create-connect?id=x', [`${PTY_ENVS_PREFIX}eyJBIjoxfQ`], 'object of strings'],
  ])('%s tells what is wrong in its first message', async (path, subprotocols, words) => {
    const client = await ptys.front.connect(path, { subprotocols })
    const message = JSON.parse(String(await client.next()))
    expect(message).toMatchObject({ type: 'control', status: 'error', error: expect.stringContaining(words) })
    const { code, reason } = await client.closed
    expect(code).toBe(1008)
    expect(JSON.parse(reason).error).toContain(words)
  })
})

describe('the end of a shell', () => {
  it('closes with 1000 for exit code 0, after all output', async () => {
    const client = await ptys.open('good')
    typeLine(client, 'exec seq 100000')
    const { code, reason } = await client.closed
    expect({ code, reason: JSON.parse(reason) }).toEqual({ code: 1000, reason: { exitCode: 0 } })
    expect(endOf(client)).toBe('\r\n99999\r\n100000\r\n')
  })

  it('closes with 1011 and the code for any other, which is told before to who asks', async () => {
    await ptys.create({ id: 'bad' })
    const asks = await ptys.attach('bad', [PTY_EXIT_CONTROL])
    const other = await ptys.attach('bad')
    typeLine(other, 'exit 7')
    const exit = { exitCode: 7, exitReason: 'exited with code 7' }
    const closed = await asks.closed
    expect({ ...closed, reason: JSON.parse(closed.reason) }).toEqual({ code: 1011, reason: exit })
    expect(JSON.parse(String(asks.messages.at(-1)))).toEqual({ type: 'control', status: 'exited', ...exit })
    expect(JSON.parse((await other.closed).reason)).toEqual(exit)
    expect(other.messages.filter((message) => typeof message === 'string')).toEqual([])
  })

  it('is told to who comes later, with the last output, and ends what can be done', async () => {
    const client = await ptys.open('over')
    typeLine(client, 'echo la""st; exit 3')
    await client.closed
    const late = await ptys.attach('over', [PTY_EXIT_CONTROL])
    expect(await late.until('"exited"')).toContain('last')
    expect(await late.closed).toMatchObject({ code: 1011 })
    expect(await ptys.describe('over')).toMatchObject({ active: false, exitCode: 3 })
    const resize = await ptys.resize('over', { cols: 1, rows: 1 })
    expect(bodyOf(resize)).toMatchObject({ statusCode: 410, code: 'SESSION_ENDED' })
    expect((await ptys.create({ id: 'over' })).status).toBe(201)
    expect(await ptys.describe('over')).toMatchObject({ active: true })
  })

  it('may come by a signal', async () => {
    const client = await ptys.open('killed')
    typeLine(client, 'kill -9 $$')
    expect(JSON.parse((await client.closed).reason)).toEqual({ exitCode: 137, exitReason: 'ended by SIGKILL' })
  })

  it('comes while programs in the background still write', async () => {
    const client = await ptys.open('busy')
    typeLine(client, '(trap "" HUP; echo $BASHPID > pid; while echo noise; do :; done) & exit 0')
    expect(await client.closed).toMatchObject({ code: 1000 })
    // The process's next write fails because the terminal is gone.
    await untilEnded(await ptys.numberIn('pid'))
  })

  it('comes with all output although its only viewer reads late', async () => {
    const client = await ptys.open('late')
    client.socket.pause()
    typeLine(client, 'exec seq 300000')
    // The output is far more than is on the way, so the terminal waits.
    client.socket.resume()
    await client.closed
    expect(endOf(client).slice(-8)).toBe('300000\r\n')
  })
})

describe('killing a terminal', () => {
  it('ends everything in it, even what ignores SIGHUP and SIGTERM', async () => {
    const client = await ptys.open('stubborn')
    typeLine(client, `(trap "" HUP TERM; echo $BASHPID > job; while :; do sleep 1; done) & set -m`)
    typeLine(client, `bash -c 'trap "" HUP TERM INT; echo $$ > front; while :; do sleep 1; done'`)
    const pids = [await ptys.numberIn('job'), await ptys.numberIn('front')]
    const response = await ptys.kill('stubborn')
    expect(response.status).toBe(200)
    expect(bodyOf(response)).toHaveProperty('message')
    for (const pid of pids) expect(isAlive(pid)).toBe(false)
    expect(await client.closed).toMatchObject({ code: 1011 })
    expect((await ptys.toolbox.call('GET', '/process/pty/stubborn')).status).toBe(404)
  })

  it('ends one that has not started, and a stopped one', async () => {
    await ptys.create({ id: 'lazy', lazyStart: true })
    expect((await ptys.kill('lazy')).status).toBe(200)
    const client = await ptys.open('stopped')
    typeLine(client, 'echo $$ > pid; kill -STOP $$')
    const pid = await ptys.numberIn('pid')
    expect((await ptys.kill('stopped')).status).toBe(200)
    expect(isAlive(pid)).toBe(false)
  })

  it('happens at shutdown', async () => {
    const client = await ptys.open('running')
    typeLine(client, `trap "" HUP TERM; echo $$ > pid`)
    const pid = await ptys.numberIn('pid')
    await ptys.toolbox.features[Symbol.asyncDispose]()
    expect(isAlive(pid)).toBe(false)
    expect((await ptys.create({ id: 'late' })).status).toBe(503)
  })
})
