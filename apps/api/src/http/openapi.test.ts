import { expect, test } from 'vitest'
import { createTestApi } from '../testing/test-api.ts'

test('the document is OpenAPI 3.1 and lists every route that is not hidden', async () => {
  await using api = await createTestApi()
  const document = (await api.app.inject('/api/docs/json')).json()
  expect(document.openapi).toBe('3.1.0')
  const listed = Object.entries<object>(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const hidden = /^(HEAD|OPTIONS) |^GET \/metrics$|^GET \/api\/docs/
  const routes = api.routes.map(({ method, url }) => `${method} ${url.replaceAll(/:(\w+)/g, '{$1}')}`)
  for (const route of routes.filter((name) => !hidden.test(name) && !name.includes('*'))) {
    expect(listed).toContain(route)
  }
})

test('the document names the public URL when there is one', async () => {
  await using api = await createTestApi({ config: { publicUrl: 'https://atoll.example.org' } })
  const document = (await api.app.inject('/api/docs/json')).json()
  expect(document.servers).toEqual([{ url: 'https://atoll.example.org' }])
})

test('what takes a key says so', async () => {
  await using api = await createTestApi()
  const { paths } = (await api.app.inject('/api/docs/json')).json()
  expect(paths['/api/sandbox'].get.security).toEqual([{ apiKey: [] }])
  expect(paths['/api/health'].get.security).toBeUndefined()
})

test('the page and everything it loads come from here', async () => {
  await using api = await createTestApi()
  const page = await api.app.inject('/api/docs/')
  const loaded = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url ?? '')
  expect(loaded.length).toBeGreaterThan(3)
  for (const url of loaded) {
    expect(url).not.toMatch(/^(https?:)?\/\//)
    const target = new URL(url, 'http://api/api/docs/')
    expect((await api.app.inject(target.pathname)).statusCode).toBe(200)
  }
})
