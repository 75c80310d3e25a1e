import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BufferedResponse, Headers } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionClient } from '../testing/session-client.ts'
import { createSession, MARKED_SDK, NEW_SDK, untilFile } from '../testing/session-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

const OUT = '\u0001\u0001\u0001'
const ERR = '\u0002\u0002\u0002'
/** A command that writes to both streams in a fixed order: it continues once a file says that its output was read. */
const BOTH = `echo one; ${untilFile('one')}; echo two >&2; ${untilFile('two')}; printf three`

let toolbox: TestToolbox
let session: SessionClient
beforeEach(async () => {
  toolbox = await createTestToolbox()
  session = await createSession(toolbox)
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const logs = (id: string, headers: Headers = {}) =>
  toolbox.call('GET', `${session.path}/command/${id}/logs`, { headers })

async function finished(command: string): Promise<string> {
  const id = await session.start(command)
  await session.ended(id)
  return id
}

/** Tells the command of BOTH when each of its first two words has been read. */
async function readInOrder(id: string): Promise<void> {
  for (const word of ['one', 'two']) {
    await session.logged(id, word)
    await writeFile(join(toolbox.folder, word), '')
  }
}

/** Runs BOTH to its end. */
async function runBoth(headers: Headers, then = ''): Promise<BufferedResponse> {
  const answer = session.exec({ command: BOTH + then }, headers)
  await readInOrder(await session.running())
  return await answer
}

describe('the answer of a sync command', () => {
  it.each<[string, Headers]>([
    ['no version', {}],
    ['0.17.0', { 'x-daytona-sdk-version': '0.17.0' }],
    ['0.26.9', { 'x-daytona-sdk-version': '0.26.9' }],
    ['a version that is none', { 'x-daytona-sdk-version': 'latest' }],
  ])('is plain text for %s', async (_what, headers) => {
    const response = await runBoth(headers, '; sh -c "exit 4"')
    expect(bodyOf(response)).toEqual({ cmdId: expect.any(String), exitCode: 4, output: 'one\ntwo\nthree' })
    expect(response.headers['content-type']).toMatch(/^application\/json/)
  })

  it.each<[string, Headers]>([
    ['0.27.0', { 'x-daytona-sdk-version': '0.27.0' }],
    ['0.166.4', { 'x-daytona-sdk-version': '0.166.4' }],
    ['the header that asks for it', { 'x-daytona-split-output': 'true' }],
  ])('is marked for %s', async (_what, headers) => {
    const { output } = bodyOf(await runBoth(headers))
    expect(output).toBe(`${OUT}one\n${ERR}two\n${OUT}three`)
  })

  it('has fields for the streams from 0.167 on', async () => {
    const response = await runBoth({ 'x-daytona-sdk-version': '0.167.0' })
    expect(bodyOf(response)).toMatchObject({ output: 'one\ntwo\nthree', stdout: 'one\nthree', stderr: 'two\n' })
  })

  it('holds quotes, control characters and broken UTF-8 as JSON can', async () => {
    const { stdout } = await session.run(`printf '"\\\\\\n\\t\\000\\033\\377 \\360\\237\\246\\200'`)
    expect(stdout).toBe('"\\\n\t\0\u001b\ufffd 🦀')
  })

  it('may be large', async () => {
    const { stdout, exitCode } = await session.run('head -c 20000000 /dev/zero | tr "\\0" "x"')
    expect([exitCode, stdout.length, stdout.replaceAll('x', '')]).toEqual([0, 20_000_000, ''])
  })
})

describe('a log', () => {
  it('is plain text, marked text or JSON by the version of the client', async () => {
    const id = await session.start(BOTH)
    await readInOrder(id)
    await session.ended(id)
    const plain = await logs(id)
    expect([plain.body.toString(), plain.headers['content-type']]).toEqual([
      'one\ntwo\nthree',
      'text/plain; charset=utf-8',
    ])
    const marked = await logs(id, MARKED_SDK)
    expect(marked.body.toString()).toBe(`${OUT}one\n${ERR}two\n${OUT}three`)
    expect(bodyOf(await logs(id, NEW_SDK))).toEqual({
      output: 'one\ntwo\nthree',
      stdout: 'one\nthree',
      stderr: 'two\n',
    })
  })

  it('is there while the command runs', async () => {
    const id = await session.start('echo begun; while ! [ -e go ]; do sleep 0.01; done; echo over')
    expect(await session.logged(id, 'begun')).toBe('begun\n')
    expect(await session.command(id)).not.toHaveProperty('exitCode')
    await writeFile(join(toolbox.folder, 'go'), '')
    await session.ended(id)
    expect((await logs(id)).body.toString()).toBe('begun\nover\n')
  })

  it('keeps every byte', async () => {
    const id = await finished(`printf '\\000\\377\\001\\001\\001\\303'; printf '\\251'`)
    expect((await logs(id)).body).toEqual(Buffer.from([0, 255, 1, 1, 1, 0xc3, 0xa9]))
  })

  it('is complete when the exit code shows', async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = await session.start('head -c 300000 /dev/zero | tr "\\0" "x"; printf e >&2')
      await session.ended(id)
      expect((await logs(id)).body.length).toBe(300_001)
    }
  })

  it('has what background processes write after the end', async () => {
    const id = await finished('(while ! [ -e go ]; do sleep 0.01; done; echo late) & echo early')
    expect((await logs(id)).body.toString()).toBe('early\n')
    expect((await session.run('echo other')).stdout).toBe('other\n')
    await writeFile(join(toolbox.folder, 'go'), '')
    expect(await session.logged(id, 'late')).toBe('early\nlate\n')
  })

  it('is gone with its session', async () => {
    const id = await finished('echo x')
    await session.remove()
    expect((await logs(id)).status).toBe(404)
  })
})

describe('without named pipes', () => {
  it('a command says why it cannot run, and the session stays', async () => {
    // With this PATH no mkfifo is found.
    await using bare = await createTestToolbox({ PATH: toolbox.folder })
    const client = await createSession(bare)
    const { exitCode, stderr } = await client.run('echo x')
    expect(exitCode).toBe(-1)
    expect(stderr).toContain('mkfifo')
  })
})
