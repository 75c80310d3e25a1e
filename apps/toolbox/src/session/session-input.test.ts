import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionClient } from '../testing/session-client.ts'
import { createSession, NEW_SDK } from '../testing/session-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'
import { MAX_UNREAD_INPUT_BYTES } from './command-input.ts'

let toolbox: TestToolbox
let session: SessionClient
beforeEach(async () => {
  toolbox = await createTestToolbox()
  session = await createSession(toolbox)
})
afterEach(() => toolbox[Symbol.asyncDispose]())

describe('input of an async command', () => {
  it('is what it reads, line by line, with a missing newline added, and is echoed to the log', async () => {
    const id = await session.start('read a; echo "got $a"; read b; echo "got $b"')
    expect(await session.input(id, 'one')).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    expect(await session.logged(id, 'got one')).toBe('one\ngot one\n')
    await session.input(id, 'zwei ü\n')
    expect(await session.ended(id)).toBe(0)
    expect(await session.logged(id, 'got zwei')).toBe('one\ngot one\nzwei ü\ngot zwei ü\n')
  })

  it('is not echoed when that is suppressed', async () => {
    const id = await session.start('read secret; echo done', { suppressInputEcho: true })
    await session.input(id, 'secret')
    expect(await session.ended(id)).toBe(0)
    expect(await session.logged(id, 'done')).toBe('done\n')
  })

  it('waits for a command whose turn has not come', async () => {
    const first = await session.start('read go')
    const second = await session.start('read line; echo "got $line"')
    await session.input(second, 'early')
    await session.input(first, 'now')
    expect(await session.ended(second)).toBe(0)
    expect(await session.logged(second, 'got')).toBe('early\ngot early\n')
  })

  it('reaches programs that the command starts, and never the next command', async () => {
    const id = await session.start('head -n 1; exec 3<&0')
    await session.input(id, 'first\nsecond\nthird')
    expect(await session.ended(id)).toBe(0)
    expect((await session.run('cat; read line || echo none')).stdout).toBe('none\n')
    const next = await session.start('read line; echo "got $line"')
    await session.input(next, 'fourth')
    expect(await session.logged(next, 'got')).toBe('fourth\ngot fourth\n')
  })

  it('is bounded where nobody reads it', async () => {
    const id = await session.start('sleep 1000')
    const piece = 'x'.repeat(200_000)
    const statuses: number[] = []
    for (let count = 0; count < 12; count += 1) statuses.push((await session.input(id, piece)).status)
    expect(statuses.slice(0, 5)).toEqual([204, 204, 204, 204, 204])
    expect(statuses.at(-1)).toBe(429)
    expect(statuses.filter((status) => status === 204).length * 200_000).toBeLessThan(2 * MAX_UNREAD_INPUT_BYTES)
  })

  it('has its errors: 404 unknown, 410 ended, 400 for a sync command and for no data', async () => {
    const id = await session.start('true')
    await session.ended(id)
    expect(bodyOf(await session.input(id, 'x'))).toMatchObject({ statusCode: 410, code: 'COMMAND_ALREADY_COMPLETED' })
    expect(bodyOf(await session.input('unknown', 'x'))).toMatchObject({ statusCode: 404 })
    const empty = await toolbox.call('POST', `${session.path}/command/${id}/input`, { json: {} })
    expect(bodyOf(empty)).toMatchObject({ statusCode: 400 })
    const sync = session.exec({ command: 'while ! [ -e go ]; do sleep 0.01; done' }, NEW_SDK)
    const running = await session.running()
    expect(bodyOf(await session.input(running, 'x'))).toMatchObject({ statusCode: 400, code: 'BAD_REQUEST' })
    await session.remove()
    expect((await sync).status).toBe(400)
  })
})
