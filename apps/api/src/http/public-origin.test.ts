import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { rawHttp } from '../testing/raw-http.ts'
import { createTestFrame } from '../testing/test-frame.ts'
import { createPublicOrigin } from './public-origin.ts'
import { createTrustedProxies } from './trusted-proxies.ts'

interface Asked {
  publicUrl?: string
  proxies?: string[]
  /** Lines of the head beyond `Host`. */
  lines?: string[]
}

async function originOf(
  host: string | undefined,
  { publicUrl, proxies = [], lines = [] }: Asked = {},
): Promise<{ origin: string; port: number }> {
  const publicOrigin = createPublicOrigin({ publicUrl, proxies: createTrustedProxies(proxies) })
  await using frame = await createTestFrame(async (app) => {
    app.get('/', async (request) => ({ origin: publicOrigin(request) }))
  })
  await frame.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = frame.app.server.address() as AddressInfo
  const head = host === undefined ? 'GET / HTTP/1.0' : `GET / HTTP/1.1\r\nhost: ${host}`
  const { body } = await rawHttp(port, `${[head, ...lines].join('\r\n')}\r\nconnection: close\r\n\r\n`)
  return { origin: (JSON.parse(body) as { origin: string }).origin, port }
}

test.each(['localhost:3000', 'atoll.example.org', '10.0.0.7:80', '[::1]:3000'])(
  'a request to %s is told of that host',
  async (host) => {
    expect((await originOf(host)).origin).toBe(`http://${host}`)
  },
)

test.each([undefined, '', 'a b', 'evil.example/path?', 'user@evil.example', 'x:99999', '1.2.3.999', 'x"y'])(
  'a request to %j is told of the address that it reached',
  async (host) => {
    const { origin, port } = await originOf(host)
    expect(origin).toBe(`http://127.0.0.1:${port}`)
  },
)

test('the configured URL counts, whatever a request says', async () => {
  expect((await originOf('evil.example', { publicUrl: 'https://atoll.example.org' })).origin).toBe(
    'https://atoll.example.org',
  )
})

const forwarded = ['x-forwarded-proto: http, https', 'x-forwarded-host: evil.example, atoll.example.org']

test('a trusted proxy says how it was addressed, and nobody else does', async () => {
  const ask = async (proxies: string[], lines = forwarded) => (await originOf('inside:3000', { proxies, lines })).origin
  expect(await ask(['127.0.0.1'])).toBe('https://atoll.example.org')
  expect(await ask([])).toBe('http://inside:3000')
  expect(await ask(['10.0.0.0/8'])).toBe('http://inside:3000')
  expect(await ask(['127.0.0.0/8'], ['x-forwarded-proto: ftp', 'x-forwarded-host: a b'])).toBe('http://inside:3000')
})
