import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ChannelClient, ChannelFront, ChannelOptions } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import type { SessionClient } from '../testing/session-client.ts'
import { createSession, NEW_SDK, untilFile } from '../testing/session-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { createTestToolbox } from '../testing/test-toolbox.ts'

const OUT = '\u0001\u0001\u0001'
const ERR = '\u0002\u0002\u0002'
const VERSION = { headers: { 'x-daytona-sdk-version': '0.218.0' } }

let toolbox: TestToolbox
let session: SessionClient
let front: ChannelFront
beforeEach(async () => {
  toolbox = await createTestToolbox()
  session = await createSession(toolbox)
  front = await startChannelFront(toolbox.peer)
})
afterEach(async () => {
  await front[Symbol.asyncDispose]()
  await toolbox[Symbol.asyncDispose]()
})

const go = (name = 'go') => writeFile(join(toolbox.folder, name), '')
const follow = (id: string, options: ChannelOptions = VERSION, query = '?follow=true') =>
  front.connect(`${session.path}/command/${id}/logs${query}`, options)

/** Starts a command that has written `a`, and writes `b` to its other stream once the file `go` exists. */
async function startBoth(): Promise<string> {
  const id = await session.start(`echo a; ${untilFile('go')}; echo b >&2`)
  await session.logged(id, 'a')
  return id
}

/** Returns all bytes until the close, which must be a normal one. */
async function all(client: ChannelClient): Promise<Buffer> {
  const { code } = await client.closed
  expect(code).toBe(1000)
  return Buffer.concat(client.messages.map((message) => Buffer.from(message)))
}

describe('a follower over a WebSocket', () => {
  it('has the log so far, what comes, and a normal close at the end', async () => {
    const id = await session.start(
      `echo so far; ${untilFile('go')}; echo more; ${untilFile('more')}; echo and this >&2; exit 3`,
    )
    await session.logged(id, 'so far')
    const client = await follow(id)
    await expect.poll(() => client.messages.length).toBe(1)
    await go()
    await expect.poll(() => client.messages.length).toBe(2)
    await go('more')
    expect((await all(client)).toString()).toBe(`${OUT}so far\n${OUT}more\n${ERR}and this\n`)
    expect(await session.ended(id)).toBe(3)
  })

  it('may come after the end, and again', async () => {
    const id = await session.start('echo a; echo b')
    await session.ended(id)
    expect((await all(await follow(id))).toString()).toBe(`${OUT}a\n${OUT}b\n`)
    expect((await all(await follow(id))).toString()).toBe(`${OUT}a\n${OUT}b\n`)
  })

  it('without follow has what there is, and the close', async () => {
    const id = await session.start(`echo so far; ${untilFile('go')}`)
    await session.logged(id, 'so far')
    expect((await all(await follow(id, VERSION, ''))).toString()).toBe(`${OUT}so far\n`)
    expect((await all(await follow(id, VERSION, '?follow=false'))).toString()).toBe(`${OUT}so far\n`)
    await go()
  })

  it('has plain bytes where its SDK knows no marks, and marks where a subprotocol tells its version', async () => {
    const id = await startBoth()
    const old = await follow(id, {})
    await go()
    expect((await all(old)).toString()).toBe('a\nb\n')
    const browser = await follow(id, { subprotocols: ['X-Daytona-SDK-Version~0.218.0'] })
    expect((await all(browser)).toString()).toBe(`${OUT}a\n${ERR}b\n`)
  })

  it('that leaves ends nothing but its stream', async () => {
    const id = await session.start(`echo begun; ${untilFile('go')}; echo over`)
    const client = await follow(id)
    await client.next()
    client.socket.close()
    await client.closed
    await go()
    expect(await session.ended(id)).toBe(0)
  })

  it('is answered 404 instead of the upgrade where there is no such command', async () => {
    await expect(follow('unknown')).rejects.toThrow('Unexpected server response: 404')
  })

  it('hears of the end when its session is deleted', async () => {
    const id = await session.start('echo begun; sleep 1000')
    const client = await follow(id)
    await client.next()
    await session.remove()
    expect(await client.closed).toMatchObject({ code: 1000 })
  })
})

describe('ten followers', () => {
  it('each have all of it, though one of them stops reading', async () => {
    const bytes = 10_000_000
    const id = await session.start(`${untilFile('go')}; head -c ${bytes} /dev/zero | tr '\\0' x`)
    const clients = await Promise.all(Array.from({ length: 10 }, () => follow(id)))
    const [stopped, ...others] = clients
    stopped?.socket.pause()
    await go()
    const received = async (client: ChannelClient) => (await all(client)).toString('latin1').replaceAll(OUT, '').length
    for (const client of others) expect(await received(client)).toBe(bytes)
    expect(await session.ended(id)).toBe(0)
    stopped?.socket.resume()
    if (stopped !== undefined) expect(await received(stopped)).toBe(bytes)
  })
})

describe('much output', () => {
  it('reaches its follower whole and in order', async () => {
    const id = await session.start('seq 1 2000000')
    const text = (await all(await follow(id))).toString().replaceAll(OUT, '')
    const expected = createHash('sha256')
    for (let number = 1; number <= 2_000_000; number += 1) expected.update(`${number}\n`)
    expect(createHash('sha256').update(text).digest('hex')).toBe(expected.digest('hex'))
  })
})

describe('the entrypoint', () => {
  it('has a log to follow', async () => {
    const client = await front.connect('/process/session/entrypoint/logs?follow=true', VERSION)
    expect((await all(client)).length).toBe(0)
  })
})

describe('a follower over HTTP', () => {
  it('has plain bytes until the command ends', async () => {
    const id = await session.start(`for i in 1 2 3; do echo "o$i"; done; ${untilFile('go')}; printf "e" >&2`)
    await session.logged(id, 'o3')
    const followed = toolbox.call('GET', `${session.path}/command/${id}/logs?follow=true`)
    await go()
    const response = await followed
    expect(response.headers['content-type']).toBe('application/octet-stream')
    expect(response.body.toString()).toBe('o1\no2\no3\ne')
  })

  it('has marked bytes where its SDK knows marks', async () => {
    const id = await startBoth()
    const followed = toolbox.call('GET', `${session.path}/command/${id}/logs?follow=true`, { headers: NEW_SDK })
    await go()
    expect((await followed).body.toString()).toBe(`${OUT}a\n${ERR}b\n`)
  })
})
