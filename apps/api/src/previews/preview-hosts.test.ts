import { describe, expect, it } from 'vitest'
import { createPreviewHosts } from './preview-hosts.ts'

const id = '6f1c2a8e-3b77-4c1d-9a52-0d6f3f4b2a11'

function hosts(options: { previewDomain?: string; publicUrl?: string } = {}) {
  const { previewDomain, publicUrl } = options
  return createPreviewHosts({ previewDomain, publicUrl, publicOrigin: () => publicUrl ?? 'http://localhost:3000' })
}

describe('a host', () => {
  it.each([`3000-${id}.localhost:3000`, `3000-${id}.localhost`, `3000-${id.toUpperCase()}.LOCALHOST.:80`])(
    '%s stands for a port of a sandbox',
    (host) => expect(hosts().parse(host)).toEqual({ kind: 'sandbox', port: 3000, sandboxId: id }),
  )

  it('may name a signed token in the place of the id', () => {
    expect(hosts().parse('8080-abcdef0123456789.localhost')).toEqual({
      ...{ kind: 'signed', port: 8080, token: 'abcdef0123456789' },
    })
  })

  it.each([
    `0-${id}.localhost`,
    `65536-${id}.localhost`,
    `03000-${id}.localhost`,
    `3000-${id}x.localhost`,
    `3000-${id}.more.localhost`,
    `a.3000-${id}.localhost`,
    `3000-abcdef012345678.localhost`,
    `3000-${id}\u0000.localhost`,
    'api.localhost',
    '.localhost',
  ])('below the domain that is none, as %j, is nothing', (host) => expect(hosts().parse(host)).toBe('unknown'))

  it.each([
    undefined,
    '',
    'localhost:3000',
    '127.0.0.1:3000',
    '[::1]:3000',
    `3000-${id}.localhost.evil.org`,
    'notlocalhost',
  ])('elsewhere, as %j, is none of previews', (host) => expect(hosts().parse(host)).toBeUndefined())

  it('is the API where its public URL lies below the domain', () => {
    const { parse } = hosts({ previewDomain: 'example.org', publicUrl: 'https://atoll.example.org' })
    expect(parse('atoll.example.org')).toBeUndefined()
    expect(parse('other.example.org')).toBe('unknown')
    expect(parse(`1-${id}.example.org`)).toMatchObject({ port: 1 })
  })
})

describe('a preview URL', () => {
  const request = {} as Parameters<ReturnType<typeof hosts>['url']>[0]
  const preview = { port: '3000', name: id }

  it.each([
    [{}, `http://3000-${id}.localhost:3000`],
    [{ previewDomain: 'p.example.org:8443' }, `http://3000-${id}.p.example.org:8443`],
    [{ previewDomain: 'p.example.org', publicUrl: 'https://atoll.example.org' }, `https://3000-${id}.p.example.org`],
  ])('for %j is %s', (options, url) => expect(hosts(options).url(request, preview)).toBe(url))
})
