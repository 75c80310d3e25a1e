import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import type { IncomingExchange, TunnelPeer } from '@atoll/tunnel'
import { createPeer, toDuplex } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDownload, upload } from './runner-files.ts'

const CONTENT = Buffer.alloc(3_000_000, 'files ')
const path = '/sandboxes/a/files'
/** The time until the sender, too, knows that all is sent, in milliseconds. */
const SENT_MS = 50
const json = { 'content-type': 'application/json' }

let api: TunnelPeer
let runner: TunnelPeer
let answer: (exchange: IncomingExchange) => unknown
let signal: AbortSignal
let controller: AbortController

beforeEach(async () => {
  controller = new AbortController()
  signal = controller.signal
  const [apiLink, runnerLink] = createMemoryLinkPair()
  runner = createPeer(runnerLink, { role: 'dialler', onRequest: (exchange) => answer(exchange) })
  api = createPeer(apiLink, { role: 'listener' })
  await api.ready
})
afterEach(() => {
  api.close()
  runner.close()
})

/** Replies with an error without reading the body. */
function fail(exchange: IncomingExchange, status: number, message: string): void {
  exchange.respond({ status, headers: json })
  exchange.end(Buffer.from(JSON.stringify({ message })))
}

describe('a download', () => {
  it('is all that the runner sends', async () => {
    answer = (exchange) => {
      const duplex = toDuplex(exchange)
      exchange.respond({ status: 200, headers: {} })
      duplex.end(CONTENT)
    }
    expect((await buffer(await openDownload(api, { path, signal }))).equals(CONTENT)).toBe(true)
  })

  it('fails where the runner breaks off', async () => {
    answer = (exchange) => {
      exchange.respond({ status: 200, headers: {} })
      exchange.write(Buffer.from('half'))
      exchange.reset('HANDLER_FAILED', 'planned')
    }
    const download = async () => buffer(await openDownload(api, { path, signal }))
    await expect(download()).rejects.toMatchObject({ code: 'HANDLER_FAILED' })
  })

  it('that is refused says why', async () => {
    answer = (exchange) => fail(exchange, 404, 'no such sandbox')
    await expect(openDownload(api, { path, signal })).rejects.toMatchObject({ status: 404, message: 'no such sandbox' })
  })

  it('ends with its signal, at both ends', async () => {
    let ended: () => void = () => undefined
    const whenEnded = new Promise<void>((resolve) => {
      ended = resolve
    })
    answer = (exchange) => {
      exchange.handlers = { onData: () => undefined, onEnd: () => undefined, onReset: ended }
      exchange.respond({ status: 200, headers: {} })
      exchange.write(Buffer.from('half'))
    }
    const download = buffer(await openDownload(api, { path, signal }))
    controller.abort(new Error('no longer wanted'))
    await expect(download).rejects.toThrow()
    await whenEnded
  })
})

describe('an upload', () => {
  it('is all of its source, and answers what the runner does', async () => {
    answer = (exchange) => {
      let bytes = 0
      exchange.handlers = {
        onData: (chunk) => {
          bytes += chunk.length
        },
        onEnd: () => {
          exchange.respond({ status: 200, headers: json })
          exchange.end(Buffer.from(JSON.stringify({ bytes })))
        },
        onReset: () => undefined,
      }
    }
    const pieces = Array.from({ length: 30 }, () => CONTENT.subarray(0, 100_000))
    expect(await upload(api, { path, source: Readable.from(pieces), signal })).toEqual({ bytes: CONTENT.length })
  })

  it('is cut off, not ended, when its source fails', async () => {
    const failure = new Promise((resolve) => {
      answer = (exchange) => buffer(toDuplex(exchange)).catch(resolve)
    })
    const source = Readable.from(
      (async function* () {
        yield CONTENT.subarray(0, 100_000)
        throw new Error('a wrong checksum')
      })(),
    )
    await expect(upload(api, { path, source, signal })).rejects.toThrow('a wrong checksum')
    expect(await failure).toMatchObject({ code: 'CANCELLED' })
  })

  it('that is refused before it is read says why, and lets its source go', async () => {
    answer = (exchange) => fail(exchange, 400, 'it runs')
    const source = Readable.from(
      (async function* () {
        for (;;) {
          await new Promise((resolve) => setImmediate(resolve))
          yield CONTENT
        }
      })(),
    )
    await expect(upload(api, { path, source, signal })).rejects.toMatchObject({ status: 400, message: 'it runs' })
    await expect.poll(() => source.destroyed).toBe(true)
  })

  it.each([
    ['its runner goes', 'LINK_CLOSED', () => runner.close()],
    ['its runner breaks off', 'HANDLER_FAILED', (exchange: IncomingExchange) => exchange.reset('HANDLER_FAILED')],
  ])('that has all been sent fails, and nothing else does, when %s', async (_what, code, breakOff) => {
    answer = (exchange) => {
      exchange.handlers = {
        onData: () => undefined,
        onEnd: () => void setTimeout(SENT_MS).then(() => breakOff(exchange)),
        onReset: () => undefined,
      }
    }
    await expect(upload(api, { path, source: Readable.from([CONTENT]), signal })).rejects.toMatchObject({ code })
  })

  it('that has all been sent ends with its signal', async () => {
    const whenSent = new Promise<void>((resolve) => {
      answer = (exchange) => {
        exchange.handlers = { onData: () => undefined, onEnd: resolve, onReset: () => undefined }
      }
    })
    const sending = upload(api, { path, source: Readable.from([CONTENT]), signal })
    await whenSent
    await setTimeout(SENT_MS)
    controller.abort(new Error('no longer wanted'))
    await expect(sending).rejects.toThrow()
  })

  it('ends with its signal', async () => {
    answer = () => undefined
    const source = new Readable({ read: () => undefined })
    const sending = upload(api, { path, source, signal })
    controller.abort(new Error('no longer wanted'))
    await expect(sending).rejects.toThrow()
    expect(source.destroyed).toBe(true)
  })
})
