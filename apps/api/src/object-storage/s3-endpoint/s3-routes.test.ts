import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import type { StorageAccess } from '@atoll/protocol'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogLines } from '../../testing/log-lines.ts'
import type { S3Credentials, S3Request } from '../../testing/s3-client.ts'
import { fetchS3, s3Code, signS3 } from '../../testing/s3-client.ts'
import type { TestApi } from '../../testing/test-api.ts'
import { createTestApi } from '../../testing/test-api.ts'
import { until } from '../../testing/until.ts'
import { ORGANIZATION_QUOTA } from './s3-object-operations.ts'

const logged = createLogLines()
let api: TestApi
let access: StorageAccess
let other: StorageAccess

beforeAll(async () => {
  api = await createTestApi({ log: logged.log })
  const url = await api.listen()
  access = await pushAccess(url)
  other = await pushAccess(url)
})
afterAll(() => api[Symbol.asyncDispose]())

async function pushAccess(url: string): Promise<StorageAccess> {
  const { headers } = await api.createPrincipal()
  return (await (await fetch(`${url}/api/object-storage/push-access`, { headers })).json()) as StorageAccess
}

function ask(request: S3Request, credentials: S3Credentials = access): Promise<Response> {
  return fetchS3(access.storageUrl, credentials, request)
}

/** Returns the path of an object of the caller. */
const own = (name: string) => `/atoll/${access.organizationId}/${name}`

async function codeOf(request: S3Request, credentials?: S3Credentials): Promise<string> {
  return await s3Code(await ask(request, credentials))
}

async function contentOf(name: string): Promise<string> {
  const response = await ask({ path: own(name) })
  return response.ok ? await response.text() : String(response.status)
}

describe('who may', () => {
  it('is who has credentials of push access, for an hour', async () => {
    expect((await ask({ method: 'PUT', path: own('mine'), body: 'x' })).status).toBe(200)
    const { accessKey, secret, sessionToken } = access
    const refused: [string, S3Credentials][] = [
      ['SignatureDoesNotMatch', { ...access, secret: 'another' }],
      ['InvalidAccessKeyId', { accessKey, secret }],
      ['InvalidToken', { ...access, accessKey: other.accessKey }],
      ['InvalidToken', { ...access, sessionToken: other.sessionToken }],
      ['InvalidToken', { ...access, sessionToken: `${sessionToken.slice(0, -2)}AA` }],
      ['InvalidToken', { ...access, sessionToken: 'x'.repeat(3_000) }],
    ]
    for (const [code, credentials] of refused) expect(await codeOf({ path: own('mine') }, credentials)).toBe(code)
  })

  it('is nobody without a signature, or with one of another time', async () => {
    const plain = await fetch(`${access.storageUrl}${own('mine')}`)
    expect([plain.status, plain.headers.get('content-type')]).toEqual([403, 'application/xml'])
    expect(await s3Code(plain)).toBe('AccessDenied')
    const signedAt = new Date(Date.now() - 16 * 60_000)
    expect(await codeOf({ path: own('mine'), signedAt })).toBe('RequestTimeTooSkewed')
  })

  it('sees nothing of another organization', async () => {
    const theirs = `/atoll/${other.organizationId}/secret`
    expect((await ask({ method: 'PUT', path: theirs, body: 'x' }, other)).status).toBe(200)
    for (const method of ['GET', 'PUT', 'DELETE', 'POST']) {
      expect(await codeOf({ method, path: theirs })).toBe('AccessDenied')
      expect(await codeOf({ method, path: `${own('..')}/../${other.organizationId}/secret` })).not.toBe('200')
    }
    for (const prefix of ['', other.organizationId, `${other.organizationId}/`, access.organizationId.slice(0, 3)]) {
      const listed = await (await ask({ path: '/atoll', query: { 'list-type': '2', prefix } })).text()
      expect(listed).not.toContain('secret')
      if (access.organizationId.startsWith(prefix)) expect(listed).toContain(`${access.organizationId}/mine`)
    }
    expect(await codeOf({ path: '/elsewhere/x' })).toBe('NoSuchBucket')
    expect(await codeOf({ path: '/' })).toBe('AccessDenied')
  })

  it('is accepted behind a proxy that changes host and path, when the public URL is configured', async () => {
    const publicUrl = 'https://atoll.example.org/base'
    await using proxied = await createTestApi({ config: { publicUrl } })
    const endpoint = `${await proxied.listen()}/api/s3`
    const { headers } = await proxied.createPrincipal()
    const inside = await proxied.app.inject({ url: '/api/object-storage/push-access', headers })
    const credentials = inside.json() as StorageAccess
    expect(credentials.storageUrl).toBe(`${publicUrl}/api/s3`)
    const path = `/atoll/${credentials.organizationId}/x`
    for (const signedFor of [`${publicUrl}/api/s3`, endpoint, 'https://atoll.example.org/api/s3']) {
      const answer = await fetchS3(endpoint, credentials, { method: 'PUT', path, body: 'x', signedFor })
      expect(answer.status).toBe(200)
    }
    const elsewhere = { method: 'PUT', path, body: 'x', signedFor: 'https://else.example.org/api/s3' }
    expect(await s3Code(await fetchS3(endpoint, credentials, elsewhere))).toBe('SignatureDoesNotMatch')
  })
})

describe('a body', () => {
  const crc32 = 'DUoRhQ==' // of "hello world"

  it.each<[string, Partial<S3Request>, string]>([
    [
      'its digest',
      { payloadHash: createHash('sha256').update('hello there').digest('hex') },
      'XAmzContentSHA256Mismatch',
    ],
    ['its MD5', { headers: { 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' } }, 'BadDigest'],
    ['its checksum', { headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }, 'BadDigest'],
    ['its newest checksum', { headers: { 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=' } }, 'BadDigest'],
    ['a checksum nobody knows', { headers: { 'x-amz-checksum-new': 'AAAA' } }, 'NotImplemented'],
    ['the trailing checksum', chunked('b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n'), 'BadDigest'],
    ['a trailing checksum that does not come', chunked('b\r\nhello world\r\n0\r\n\r\n'), 'BadDigest'],
    ['its length', chunked(`a\r\nhello worl\r\n0\r\nx-amz-checksum-crc32:${crc32}\r\n\r\n`), 'IncompleteBody'],
    ['a signed kind that is not known', { payloadHash: 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' }, 'NotImplemented'],
  ])('that does not fit %s leaves what was there', async (_what, change, code) => {
    await ask({ method: 'PUT', path: own('kept'), body: 'before' })
    expect(await codeOf({ method: 'PUT', path: own('kept'), body: 'hello world', ...change })).toBe(code)
    expect(await contentOf('kept')).toBe('before')
  })

  it('is taken when every checksum fits', async () => {
    const headers = {
      ...{ 'content-md5': 'XrY7u+Ae7tCTyyK7j1rNww==', 'x-amz-checksum-crc32': crc32 },
      ...{ 'x-amz-checksum-crc32c': 'yZRlqg==', 'x-amz-checksum-sha1': 'Kq5sNclPz7QV2+lfQIuc6R7oRu0=' },
    }
    expect((await ask({ method: 'PUT', path: own('checked'), body: 'hello world', headers })).status).toBe(200)
    const body = `b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:${crc32}\r\n\r\n`
    expect((await ask({ method: 'PUT', path: own('checked'), ...chunked(body) })).status).toBe(200)
    expect(await contentOf('checked')).toBe('hello world')
  })

  it('that breaks off leaves what was there, no file, and no error in the log', async () => {
    await ask({ method: 'PUT', path: own('kept'), body: 'before' })
    const before = await files()
    const headers = await signS3(access.storageUrl, access, {
      ...{ method: 'PUT', path: own('kept'), payloadHash: 'UNSIGNED-PAYLOAD', headers: { 'content-length': '1000' } },
    })
    const { hostname, port, pathname } = new URL(access.storageUrl)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const socket = connect(Number(port), hostname)
    socket.write(`PUT ${pathname}${own('kept')} HTTP/1.1\r\n${lines.join('')}\r\nonly this`)
    await until('it is being written', async () => (await files()) > before)
    socket.destroy()
    await until('its file is gone', async () => (await files()) === before)
    expect(await contentOf('kept')).toBe('before')
    const { error } = logged.log.levels.values
    expect(logged.lines.filter(({ level }) => Number(level) >= Number(error))).toEqual([])
  })

  it('above the quota is refused in words, on a connection that can be used on', async () => {
    const { organizationId } = other
    await api.database
      .sql`update object_usage set bytes = ${ORGANIZATION_QUOTA.maxBytes - 10} where scope = ${organizationId}`
    const path = `/atoll/${organizationId}/large`
    const answer = await ask({ method: 'PUT', path, body: Buffer.alloc(8_000_000) }, other)
    expect([answer.status, await s3Code(answer)]).toEqual([403, 'QuotaExceeded'])
    await api.database.sql`update object_usage set bytes = 1 where scope = ${organizationId}`
    expect((await ask({ method: 'PUT', path, body: 'x' }, other)).status).toBe(200)
  })

  async function files(): Promise<number> {
    const rows = await api.database.sql`select count(*)::int as files from object_files`
    return Number(rows[0]?.['files'])
  }

  function chunked(body: string): Partial<S3Request> {
    return {
      body,
      payloadHash: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      headers: {
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': '11',
        'x-amz-trailer': 'x-amz-checksum-crc32',
      },
    }
  }
})

describe('an object', () => {
  const headers = {
    ...{ 'content-type': 'text/x-test', 'x-amz-meta-colour': 'blue', 'cache-control': 'no-store' },
    ...{ 'content-encoding': 'x-odd' },
  }

  it('comes with what was said of it, whole, in part, or not at all when it is known', async () => {
    await ask({
      method: 'PUT',
      path: own('digits'),
      body: '0123456789',
      headers: { ...headers, 'x-amz-acl': 'private' },
    })
    const head = await ask({ method: 'HEAD', path: own('digits') })
    expect([head.status, await head.text()]).toEqual([200, ''])
    const etag = `"${createHash('md5').update('0123456789').digest('hex')}"`
    const shown = { ...headers, etag, 'content-length': '10', 'accept-ranges': 'bytes' }
    for (const [name, value] of Object.entries(shown)) expect(head.headers.get(name)).toBe(value)
    const get = async (given: Record<string, string>) => {
      const answer = await ask({ path: own('digits'), headers: given })
      return [answer.status, answer.headers.get('content-range'), await answer.text()]
    }
    expect(await get({ range: 'bytes=2-4' })).toEqual([206, 'bytes 2-4/10', '234'])
    expect(await get({ range: 'bytes=8-' })).toEqual([206, 'bytes 8-9/10', '89'])
    expect(await get({ range: 'bytes=-3' })).toEqual([206, 'bytes 7-9/10', '789'])
    expect(await get({ range: 'bytes=4-999' })).toEqual([206, 'bytes 4-9/10', '456789'])
    for (const range of ['bytes=4-2', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=-']) {
      expect(await get({ range })).toEqual([200, null, '0123456789'])
    }
    const beyond = await ask({ path: own('digits'), headers: { range: 'bytes=10-' } })
    expect([beyond.headers.get('content-range'), await s3Code(beyond)]).toEqual(['bytes */10', 'InvalidRange'])
    expect(await get({ 'if-none-match': etag })).toEqual([304, null, ''])
    const another = { path: own('digits'), headers: { 'if-match': '"another"' } }
    expect(await codeOf(another)).toBe('PreconditionFailed')
  })

  it('is not replaced when the client says so', async () => {
    const put = { method: 'PUT', path: own('once'), body: 'x', headers: { 'if-none-match': '*' } }
    expect((await ask(put)).status).toBe(200)
    expect(await codeOf(put)).toBe('PreconditionFailed')
  })

  it('is gone when it was deleted, and deleting it again does nothing', async () => {
    await ask({ method: 'PUT', path: own('gone'), body: 'x' })
    for (let time = 0; time < 2; time++) {
      expect((await ask({ method: 'DELETE', path: own('gone') })).status).toBe(204)
    }
    expect(await codeOf({ path: own('gone') })).toBe('NoSuchKey')
    const head = await ask({ method: 'HEAD', path: own('gone') })
    expect([head.status, await head.text()]).toEqual([404, ''])
  })
})

describe('what is not served', () => {
  it.each<[string, S3Request]>([
    ['a list of version 1', { path: '/atoll' }],
    ['an access list', { path: '/atoll', query: { acl: '' } }],
    ['a copy', { method: 'PUT', path: '', headers: { 'x-amz-copy-source': '/atoll/x' } }],
    ['encryption', { method: 'PUT', path: '', body: 'x', headers: { 'x-amz-server-side-encryption': 'AES256' } }],
    ['a public object', { method: 'PUT', path: '', body: 'x', headers: { 'x-amz-acl': 'public-read' } }],
    ['deleting many at once', { method: 'POST', path: '/atoll', query: { delete: '' }, body: '<Delete/>' }],
    ['making a bucket', { method: 'PUT', path: '/atoll' }],
  ])('is refused by name: %s', async (_what, request) => {
    expect(await codeOf({ ...request, path: request.path === '' ? own('x') : request.path })).toBe('NotImplemented')
  })

  it('is refused in XML however it is asked for', async () => {
    // Clients resolve segments of dots, so these would lead to another URL.
    const segment = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => text !== '.' && text !== '..')
    const request = fc.record({
      method: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD'),
      path: fc.oneof(
        segment.map((text) => own(encodeURIComponent(text))),
        segment.map((text) => `/${encodeURIComponent(text)}`),
      ),
      query: fc.dictionary(
        fc.constantFrom(
          'list-type',
          'prefix',
          'continuation-token',
          'max-keys',
          'uploadId',
          'uploads',
          'partNumber',
          'x',
        ),
        fc.oneof(fc.constantFrom('2', '1', '', '0'), fc.string({ unit: 'grapheme', maxLength: 20 })),
      ),
      headers: fc.dictionary(
        fc.constantFrom('range', 'x-amz-trailer', 'x-amz-decoded-content-length', 'if-match', 'x-amz-meta-a'),
        fc.stringMatching(/^[!-~]{1,20}$/),
      ),
      payloadHash: fc.constantFrom('UNSIGNED-PAYLOAD', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x'),
    })
    await fc.assert(
      fc.asyncProperty(request, async (given) => {
        const body = given.method === 'PUT' || given.method === 'POST' ? { body: 'some body' } : {}
        const answer = await ask({ ...given, ...body })
        expect([200, 204, 206, 304, 400, 403, 404, 405, 411, 412, 416, 501]).toContain(answer.status)
        const text = await answer.text()
        if (answer.status >= 400 && given.method !== 'HEAD') expect(text).toMatch(/<Error><Code>\w+<\/Code>/)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a multipart upload', () => {
  it.each([
    ['no XML', 'no xml'],
    ['no part', '<CompleteMultipartUpload/>'],
    ['a part without number', '<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>'],
    [
      'a declaration',
      '<!DOCTYPE x [<!ENTITY a "1">]><CompleteMultipartUpload><Part><PartNumber>&a;</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>',
    ],
    ['endless depth', '<CompleteMultipartUpload>'.repeat(50_000)],
  ])('is not completed by %s', async (_what, body) => {
    const begun = await (await ask({ method: 'POST', path: own('parts'), query: { uploads: '' } })).text()
    const uploadId = /<UploadId>([^<]+)</.exec(begun)?.[1] ?? ''
    expect(await codeOf({ method: 'POST', path: own('parts'), query: { uploadId }, body })).toBe('MalformedXML')
    expect((await ask({ method: 'DELETE', path: own('parts'), query: { uploadId } })).status).toBe(204)
    expect(await codeOf({ method: 'DELETE', path: own('parts'), query: { uploadId } })).toBe('NoSuchUpload')
  })

  it('cannot be gone on with under another key', async () => {
    const begun = await (await ask({ method: 'POST', path: own('parts'), query: { uploads: '' } })).text()
    const uploadId = /<UploadId>([^<]+)</.exec(begun)?.[1] ?? ''
    const query = { uploadId, partNumber: '1' }
    expect(await codeOf({ method: 'PUT', path: own('else'), query, body: 'x' })).toBe('NoSuchUpload')
    expect(await codeOf({ method: 'PUT', path: own('parts'), query: { uploadId, partNumber: '0' }, body: 'x' })).toBe(
      'InvalidArgument',
    )
    const theirs = { method: 'PUT', path: `/atoll/${other.organizationId}/parts`, query, body: 'x' }
    expect(await codeOf(theirs, other)).toBe('NoSuchUpload')
  })
})
