import { ErrorBody, errorStatus, toolboxOperations } from '@atoll/protocol'
import fc from 'fast-check'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAX_JSON_BODY_BYTES } from './incoming.ts'
import { MAX_TARGET_LENGTH } from './query.ts'
import type { TestToolbox } from './testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from './testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeAll(async () => {
  toolbox = await createTestToolbox()
})
afterAll(() => toolbox[Symbol.asyncDispose]())

describe('the dispatcher', () => {
  it('answers an operation with JSON and its length', async () => {
    const response = await toolbox.call('GET', '/project-dir')
    expect(response.status).toBe(200)
    expect(response.headers).toEqual({
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(response.body.length),
    })
    expect(bodyOf(response)).toEqual({ dir: toolbox.folder })
  })

  it('answers HEAD as GET without a body', async () => {
    const response = await toolbox.call('HEAD', '/project-dir')
    expect(response).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect(Number(response.headers['content-length'])).toBeGreaterThan(0)
    expect(await toolbox.call('HEAD', '/nowhere')).toMatchObject({ status: 404, body: Buffer.alloc(0) })
  })

  it('answers an unknown path 404 with the error body of the contract', async () => {
    const response = await toolbox.call('GET', '/nowhere?x=1', { headers: { 'x-request-id': 'req-1' } })
    expect(response.status).toBe(404)
    const body = bodyOf(response)
    expect(Value.Errors(ErrorBody, body)).toEqual([])
    expect(body).toMatchObject({
      statusCode: 404,
      error: 'Not Found',
      code: 'NOT_FOUND',
      source: 'DAYTONA_DAEMON',
      path: '/nowhere',
      method: 'GET',
      requestId: 'req-1',
    })
  })

  it('answers a wrong method 405 and says which are right', async () => {
    const response = await toolbox.call('PUT', '/files')
    expect(response.status).toBe(405)
    expect(response.headers['allow']).toBe('GET, DELETE')
    expect(bodyOf(response)['code']).toBe('METHOD_NOT_ALLOWED')
  })

  it('answers a target that is too long 414', async () => {
    const response = await toolbox.call('GET', `/files?path=${'x'.repeat(MAX_TARGET_LENGTH)}`)
    expect(response.status).toBe(414)
  })
})

describe('query strings', () => {
  it.each([
    ['a broken escape', 'path=%zz', 'BAD_REQUEST'],
    ['a cut escape', 'path=%e', 'BAD_REQUEST'],
    ['a field given twice', 'path=a&path=b', 'VALIDATION_FAILED'],
    ['a missing field', '', 'VALIDATION_FAILED'],
    ['an empty field', 'path=', 'VALIDATION_FAILED'],
    ['a NUL byte', 'path=a%00b', 'INVALID_FILE_PATH'],
    ['65 fields', Array.from({ length: 65 }, (_, index) => `f${index}=1`).join('&'), 'BAD_REQUEST'],
  ])('%s is refused', async (_what, query, code) => {
    const response = await toolbox.call('GET', `/files/info?${query}`)
    expect(response.status).toBe(400)
    expect(bodyOf(response)['code']).toBe(code)
  })

  it('names the fields that are wrong', async () => {
    const response = await toolbox.call('DELETE', '/files?recursive=perhaps')
    expect(bodyOf(response)['message']).toBe('query: path is required, recursive must be true or false')
  })

  it('reads a plus as a space and ignores fields it does not know', async () => {
    const response = await toolbox.call('GET', '/files/info?path=no+such+file&unknown=%20&empty')
    expect(bodyOf(response)['message']).toBe('no such file or directory: no such file')
  })
})

describe('JSON bodies', () => {
  const run = (body: Buffer | string, headers = {}) => toolbox.call('POST', '/process/execute', { body, headers })

  it.each([
    ['no content type', {}],
    ['a wrong content type', { 'content-type': 'text/plain' }],
    ['the form type', { 'content-type': 'application/x-www-form-urlencoded' }],
  ])('are read with %s', async (_what, headers) => {
    const response = await run('{"command":"echo hi"}', headers)
    expect(bodyOf(response)).toMatchObject({ exitCode: 0, result: 'hi\n' })
  })

  it('may have fields nobody knows, and null for absent ones', async () => {
    const response = await run('{"command":"echo hi","cwd":null,"timeout":null,"envs":null,"more":{"__proto__":1}}')
    expect(bodyOf(response)).toMatchObject({ exitCode: 0, result: 'hi\n' })
  })

  it.each([
    ['an empty body', ''],
    ['half a document', '{"command":'],
    ['a byte order mark', '\ufeff{"command":"true"}'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('%s is INVALID_JSON', async (_what, body) => {
    const response = await run(body)
    expect(response.status).toBe(400)
    expect(bodyOf(response)['code']).toBe('INVALID_JSON')
  })

  it.each([
    ['[]', 'body: the value must be an object'],
    ['{}', 'body: command is required'],
    ['{"command":null}', 'body: command must be a string'],
    ['{"command":7,"timeout":"soon"}', 'body: command must be a string, timeout must be an integer'],
    ['{"command":"x","timeout":-1}', 'body: timeout must be at least 0'],
    ['{"command":"x","timeout":1.5}', 'body: timeout must be an integer'],
    ['{"command":"x","envs":{"A":1}}', 'body: envs."A" must be a string'],
  ])('%s is refused by field', async (body, message) => {
    const response = await run(body)
    expect(response.status).toBe(400)
    expect(bodyOf(response)).toMatchObject({ code: 'VALIDATION_FAILED', message })
  })

  it('over the bound are 413, announced or not', async () => {
    const body = Buffer.alloc(MAX_JSON_BODY_BYTES + 1, ' ')
    expect((await run(body)).status).toBe(413)
    expect((await run('', { 'content-length': String(MAX_JSON_BODY_BYTES + 1) })).status).toBe(413)
  })
})

describe('whatever is sent', () => {
  const paths = Object.values(toolboxOperations).map(({ path }) => path)
  const methods = fc.constantFrom('GET', 'POST', 'DELETE', 'HEAD', 'OPTIONS', 'X')
  // Absolute paths below a file, so that no existing file is touched.
  const odd = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('~', '..', '%', '%00', 'true'))
  const query = fc.dictionary(
    fc.constantFrom('path', 'source', 'destination', 'recursive', 'mode', '__proto__', 'x'),
    odd.map((text) => `/dev/null/${text}`),
  )

  const call = fc.record({ method: methods, path: fc.constantFrom(...paths), query, body: odd })
  // Characters that the tunnel lets through in a request target.
  const targetText = fc
    .string({ unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)) })
    .filter((text) => !text.includes('\x7f'))

  it('the answer is a response of the contract', async () => {
    await fc.assert(
      fc.asyncProperty(call, async ({ method, path, query, body }) => {
        const response = await toolbox.call(method, path, { query, body })
        if (response.status < 400) return
        expect(Object.values(errorStatus)).toContain(response.status)
        if (method !== 'HEAD') expect(Value.Errors(ErrorBody, bodyOf(response))).toEqual([])
      }),
      { numRuns: 300 },
    )
    expect(toolbox.errors).toEqual([])
  })

  it('a raw target gets an answer too', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths, '', '/', '*', '//'), targetText, async (path, text) => {
        const response = await toolbox.call('GET', `${path}?path=/dev/null/&${text}`)
        expect(response.status).toBeGreaterThanOrEqual(200)
        // Only operations on the desktop, which does not exist, may answer with a 5xx.
        if (response.status !== errorStatus.COMPUTER_USE_UNAVAILABLE) expect(response.status).toBeLessThan(500)
      }),
      { numRuns: 200 },
    )
    expect(toolbox.errors).toEqual([])
  })

  it('a JSON body of any shape gets an answer', async () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.record({ command: fc.jsonValue(), cwd: fc.jsonValue(), timeout: fc.jsonValue(), envs: fc.jsonValue() }),
    )
    await fc.assert(
      fc.asyncProperty(value, async (json) => {
        // In this folder no shell can start that could run the command.
        const response = await toolbox.call('POST', '/process/execute', {
          json: Object.assign({}, json, { cwd: '/dev/null' }),
        })
        expect([200, 400]).toContain(response.status)
      }),
      { numRuns: 200 },
    )
    expect(toolbox.errors).toEqual([])
  })
})
