import type { IncomingMessage } from 'node:http'
import { AppError } from '@atoll/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

/** Largest JSON body, unless a route sets its own `bodyLimit`. */
export const MAX_JSON_BODY_BYTES = 1024 * 1024

/** The deepest nesting of lists and objects: more than any body needs, and safe for recursion over a body. */
export const MAX_JSON_LEVELS = 64

/** Longest time from the first to the last byte of a JSON body. */
const JSON_BODY_DEADLINE_MS = 30_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The body is passed on unread, neither parsed nor bounded, and only a sample of its successful calls is logged.
     */
    proxied?: boolean
  }
}

/**
 * Reads every body as JSON, whatever its content type, since clients send JSON with wrong types or none. An absent body
 * is undefined. Keys named `__proto__`, and `prototype` below `constructor`, are dropped like any unknown field. Throws
 * INVALID_JSON, PAYLOAD_TOO_LARGE and REQUEST_TIMEOUT.
 */
export const jsonBody = fastifyPlugin(
  async (app: FastifyInstance) => {
    const parse = app.getDefaultJsonParser('remove', 'remove')
    app.removeAllContentTypeParsers()
    app.addHook('onRequest', async (request) => {
      // Fastify refuses a malformed content type before any parser sees the body.
      if (!request.routeOptions.config.proxied) delete request.raw.headers['content-type']
    })
    app.addContentTypeParser('*', (request: FastifyRequest, payload: IncomingMessage, done) => {
      readText(payload, request.routeOptions.bodyLimit ?? MAX_JSON_BODY_BYTES).then((text) => {
        if (text.trim() === '') return done(null, undefined)
        void parse(request, text, (error, body) => {
          if (error === null && isTooDeep(body)) return done(tooDeep())
          done(error, body)
        })
      }, done)
    })
  },
  { name: 'json-body' },
)

async function readText(payload: IncomingMessage, maxBytes: number): Promise<string> {
  const declared = Number(payload.headers['content-length'] ?? 0)
  if (declared > maxBytes) throw tooLarge(maxBytes)
  const bytes = await readBytes(payload, maxBytes)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AppError('INVALID_JSON', 'The body is not UTF-8', { cause })
  }
}

function readBytes(payload: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const timer = setTimeout(() => {
      fail(new AppError('REQUEST_TIMEOUT', `The body did not arrive within ${JSON_BODY_DEADLINE_MS / 1000} s`))
    }, JSON_BODY_DEADLINE_MS)
    const fail = (error: Error) => {
      finish()
      reject(error)
    }
    const onData = (chunk: Buffer) => {
      length += chunk.length
      if (length > maxBytes) fail(tooLarge(maxBytes))
      else chunks.push(chunk)
    }
    const onEnd = () => {
      finish()
      resolve(Buffer.concat(chunks))
    }
    const onClose = () => fail(new AppError('BAD_REQUEST', 'The body ended early'))
    const finish = () => {
      clearTimeout(timer)
      payload.off('data', onData).off('end', onEnd).off('error', fail).off('close', onClose)
      // A later error of the stream needs no handling.
      payload.on('error', () => undefined)
    }
    payload.on('data', onData).on('end', onEnd).on('error', fail).on('close', onClose)
  })
}

/** Checks the nesting level by level, since a recursion could itself exhaust the stack. */
function isTooDeep(body: unknown): boolean {
  let level = [body].filter(isContainer)
  for (let depth = 0; depth < MAX_JSON_LEVELS; depth++) {
    level = level.flatMap((container) => Object.values(container)).filter(isContainer)
    if (level.length === 0) return false
  }
  return true
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function tooDeep(): AppError {
  return new AppError('INVALID_JSON', `The body nests deeper than ${MAX_JSON_LEVELS} levels`)
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('PAYLOAD_TOO_LARGE', `The body is larger than ${maxBytes} bytes`)
}
