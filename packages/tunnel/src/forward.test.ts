import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import type { ForwardOptions } from './forward-http.ts'
import { type Front, startFront } from './testing/front.ts'
import { createTunnelPair, echo, type TunnelPair } from './testing/tunnel-pair.ts'
import { toDuplex } from './to-duplex.ts'
import type { IncomingExchange } from './types.ts'

let front: Front | undefined
let pair: TunnelPair | undefined

async function start(
  onRequest: (exchange: IncomingExchange) => void,
  extra: Pick<ForwardOptions, 'acceptResponse' | 'answerDeadlineMs'> = {},
): Promise<Front> {
  pair = await createTunnelPair({ dialler: { onRequest } })
  front = await startFront(pair.listener, extra)
  return front
}

afterEach(async () => {
  await front?.[Symbol.asyncDispose]()
  expect(pair?.listener.openStreams).toBe(0)
  pair?.listener.close()
})

const ignore = { onData() {}, onEnd() {}, onReset() {} }

describe('a forwarded HTTP call', () => {
  it('carries method, path, headers and both bodies, without what concerns one connection only', async () => {
    let head: IncomingExchange['head'] | undefined
    const { port, nextOutcome } = await start((exchange) => {
      head = exchange.head
      exchange.respond({
        status: 201,
        headers: { 'set-cookie': ['a=1', 'b=2'], connection: 'x-private', 'x-private': 'p', 'keep-alive': 'timeout=9' },
      })
      exchange.handlers = {
        onData: (chunk) => exchange.write(Buffer.from(chunk)),
        onEnd: () => exchange.end(),
        onReset() {},
      }
    })
    const response = await fetch(`http://127.0.0.1:${port}/files?path=%2Fa`, {
      method: 'PUT',
      body: 'content',
      headers: { authorization: 'Bearer key', 'x-own': 'kept' },
    })
    expect(response.status).toBe(201)
    expect(await response.text()).toBe('content')
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(response.headers.get('x-request-id')).toBe('7')
    expect(response.headers.get('x-private')).toBeNull()
    expect(head).toMatchObject({ method: 'PUT', path: '/files?path=%2Fa' })
    expect(head?.headers).toMatchObject({ 'x-own': 'kept', 'x-from': 'front', 'content-length': '7' })
    for (const name of ['authorization', 'connection', 'keep-alive', 'transfer-encoding']) {
      expect(head?.headers).not.toHaveProperty(name)
    }
    expect(await nextOutcome()).toEqual({ kind: 'answered', status: 201 })
  })

  it('carries 8 MiB up and down at once', async () => {
    const { port } = await start(echo)
    const body = Buffer.alloc(8 * 1024 * 1024, '0123456789abc')
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body })
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true)
  })

  it('is left to the caller to answer when the tunnel fails before the response', async () => {
    const { port, nextOutcome } = await start((exchange) => exchange.reset('HANDLER_FAILED', 'no'))
    const response = await fetch(`http://127.0.0.1:${port}/`)
    expect([response.status, await response.text()]).toEqual([502, 'HANDLER_FAILED'])
    expect(await nextOutcome()).toMatchObject({ kind: 'failed', error: { code: 'HANDLER_FAILED' } })
    pair?.listener.close()
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(502)
  })

  it('cuts the client off when the response breaks off or has another length than announced', async () => {
    const { port, nextOutcome } = await start((exchange) => {
      exchange.handlers = ignore
      const { path } = exchange.head
      exchange.respond({ status: 200, headers: path === '/breaks' ? {} : { 'content-length': '5' } })
      exchange.write(Buffer.from(path === '/long' ? 'longer' : 'part'))
      if (path === '/breaks') exchange.reset()
      else exchange.end()
    })
    for (const path of ['/breaks', '/long', '/short']) {
      await expect(fetch(`http://127.0.0.1:${port}${path}`).then((response) => response.text())).rejects.toThrow()
      expect(await nextOutcome()).toMatchObject({ kind: 'broken', status: 200 })
    }
  })

  it('refuses a response whose length makes no sense', async () => {
    const { port } = await start((exchange) => {
      exchange.handlers = ignore
      exchange.respond({
        status: 200,
        headers: { 'content-length': exchange.head.path === '/two' ? ['1', '2'] : '-1' },
      })
      exchange.end()
    })
    expect((await fetch(`http://127.0.0.1:${port}/two`)).status).toBe(502)
    expect((await fetch(`http://127.0.0.1:${port}/negative`)).status).toBe(502)
  })

  it('is cancelled at the other end when the client goes away', async () => {
    let cancelled: (error: Error) => void = () => {}
    const reset = new Promise<Error>((resolve) => {
      cancelled = resolve
    })
    const { port, nextOutcome } = await start((exchange) => {
      exchange.handlers = { ...ignore, onReset: cancelled }
      exchange.respond({ status: 200, headers: {} })
      exchange.write(Buffer.from('first'))
    })
    const client = request({ port, host: '127.0.0.1' }).end()
    const [response] = (await once(client, 'response')) as [IncomingMessage]
    response.on('error', () => {})
    await once(response, 'data')
    client.destroy()
    expect(await reset).toMatchObject({ code: 'CANCELLED' })
    expect(await nextOutcome()).toEqual({ kind: 'client-gone' })
  })

  it('hands over an early answer while the client still uploads', async () => {
    const { port, nextOutcome } = await start((exchange) => {
      exchange.handlers = ignore
      exchange.respond({ status: 413, headers: { 'content-length': '8' } })
      exchange.end(Buffer.from('too much'))
    })
    const client = request({ port, host: '127.0.0.1', method: 'POST' })
    client.on('error', () => {})
    client.write(Buffer.alloc(1024 * 1024))
    const [response] = (await once(client, 'response')) as [IncomingMessage]
    expect([response.statusCode, await text(response)]).toEqual([413, 'too much'])
    expect(await nextOutcome()).toEqual({ kind: 'answered', status: 413 })
    client.end()
    await once(client, 'close')
  })
})

describe('a response that is looked at first', () => {
  const answerTeapot = (exchange: IncomingExchange) => {
    exchange.handlers = ignore
    exchange.respond({ status: 418, headers: { 'set-cookie': 'a=1; domain=b' } })
    exchange.end(Buffer.from('tea'))
  }

  it('travels on with the headers that the caller made of it', async () => {
    const acceptResponse: ForwardOptions['acceptResponse'] = ({ headers }) => {
      headers['set-cookie'] = ['a=1', 'b=2']
      return true
    }
    const { port } = await start(answerTeapot, { acceptResponse })
    const response = await fetch(`http://127.0.0.1:${port}/`)
    expect([response.status, response.headers.getSetCookie(), await response.text()]).toEqual([
      418,
      ['a=1', 'b=2'],
      'tea',
    ])
  })

  it('is left to the caller to answer when refused, for a call and for an upgrade', async () => {
    const { port, nextOutcome } = await start(answerTeapot, { acceptResponse: ({ status }) => status !== 418 })
    const response = await fetch(`http://127.0.0.1:${port}/`)
    expect([response.status, await response.text()]).toEqual([503, 'refused'])
    expect(await nextOutcome()).toEqual({ kind: 'refused' })
    const socket = connect(port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 502 /)
    expect(await nextOutcome()).toEqual({ kind: 'refused' })
  })

  it('fails when it does not begin in time', async () => {
    const silent = (exchange: IncomingExchange) => {
      exchange.handlers = ignore
    }
    const { port, nextOutcome } = await start(silent, { answerDeadlineMs: 20 })
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('DEADLINE_EXCEEDED')
    expect(await nextOutcome()).toMatchObject({ kind: 'failed' })
    const socket = connect(port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 502 /)
    expect(await nextOutcome()).toMatchObject({ kind: 'failed', error: { code: 'DEADLINE_EXCEEDED' } })
  })
})

describe('a forwarded upgrade', () => {
  const upgrade = 'GET /pty HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n'

  it('joins the raw streams after a 101, with what the client sent along', async () => {
    const { port, nextOutcome } = await start((exchange) => {
      exchange.respond({ status: 101, headers: { upgrade: exchange.head.headers['upgrade'] ?? '' } })
      const duplex = toDuplex(exchange)
      duplex.pipe(duplex)
    })
    const socket = connect({ port, host: '127.0.0.1' })
    socket.end(`${upgrade}early bytes`)
    const answer = await text(socket)
    expect(answer).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/)
    expect(answer).toContain('\r\nupgrade: raw\r\n')
    expect(answer).toMatch(/\r\n\r\nearly bytes$/)
    expect(await nextOutcome()).toEqual({ kind: 'answered', status: 101 })
  })

  it('passes on an answer that is no 101, and ends the connection', async () => {
    const { port, nextOutcome } = await start((exchange) => {
      exchange.handlers = ignore
      exchange.respond({ status: 404, headers: { 'content-type': 'text/plain' } })
      exchange.end(Buffer.from('none here'))
    })
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(upgrade)
    const answer = await text(socket)
    expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
    expect(answer).toMatch(/\r\n\r\nnone here$/)
    expect(await nextOutcome()).toEqual({ kind: 'answered', status: 404 })
  })

  it('cuts off a client that keeps its connection after an answer that is no 101', async () => {
    const { port, server, nextOutcome } = await start((exchange) => {
      exchange.handlers = ignore
      exchange.respond({ status: 404, headers: {} })
      exchange.end()
    })
    const accepted = once(server, 'connection')
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    client.write(upgrade)
    const [socket] = (await accepted) as [Socket]
    await once(socket, 'close')
    expect(await nextOutcome()).toEqual({ kind: 'answered', status: 404 })
    client.destroy()
  })

  it('cuts the client off when the tunnel breaks, and is cancelled when the client leaves', async () => {
    const streams: IncomingExchange[] = []
    const resets: string[] = []
    const { port, nextOutcome } = await start((exchange) => {
      streams.push(exchange)
      exchange.handlers = { ...ignore, onReset: (error) => resets.push(error.code) }
      exchange.respond({ status: 101, headers: { upgrade: 'raw' } })
    })
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(upgrade)
    await once(socket, 'data')
    streams[0]?.reset()
    await once(socket, 'close')
    expect(await nextOutcome()).toMatchObject({ kind: 'broken', status: 101 })

    const other = connect({ port, host: '127.0.0.1' })
    other.write(upgrade)
    await once(other, 'data')
    other.resetAndDestroy()
    await nextOutcome()
    await expect.poll(() => resets).toEqual(['CANCELLED'])
  })
})
