import { expect, test } from 'vitest'
import { readConfig } from '../config.ts'

const MAIN = { ATOLL_OIDC_ISSUER: 'https://id.example.org/', ATOLL_OIDC_CLIENT_ID: 'atoll' }

test('the audience is the client id unless configured, and issuers end without a slash', () => {
  expect(providersOf(MAIN)).toEqual([
    {
      name: 'oidc',
      displayName: 'id.example.org',
      issuer: 'https://id.example.org',
      clientId: 'atoll',
      audience: 'atoll',
    },
  ])
  expect(providersOf({ ...MAIN, ATOLL_OIDC_AUDIENCE: 'api' })).toMatchObject([{ audience: 'api' }])
})

test('further providers come behind the first', () => {
  const other = { name: 'other', displayName: 'Other', issuer: 'https://other.example.org', clientId: 'x' }
  expect(providersOf({ ...MAIN, ATOLL_OIDC_PROVIDERS: JSON.stringify([other]) })).toMatchObject([
    { name: 'oidc' },
    { ...other, audience: 'x' },
  ])
})

test.each([
  ['an issuer without client', { ATOLL_OIDC_ISSUER: 'https://id.example.org' }, 'must be set together'],
  ['a client without issuer', { ATOLL_OIDC_CLIENT_ID: 'atoll' }, 'must be set together'],
  ['an issuer that is no URL', { ...MAIN, ATOLL_OIDC_ISSUER: 'id.example.org' }, 'ATOLL_OIDC_ISSUER'],
  ['no JSON', { ...MAIN, ATOLL_OIDC_PROVIDERS: '{' }, 'must be a JSON array'],
  ['a provider without issuer', { ...MAIN, ATOLL_OIDC_PROVIDERS: '[{"name":"x"}]' }, 'ATOLL_OIDC_PROVIDERS'],
  [
    'one issuer twice',
    {
      ...MAIN,
      ATOLL_OIDC_PROVIDERS: '[{"name":"x","displayName":"X","issuer":"https://id.example.org","clientId":"x"}]',
    },
    'two providers with the issuer',
  ],
  [
    'only further ones',
    { ATOLL_OIDC_PROVIDERS: '[{"name":"x","displayName":"X","issuer":"https://id.example.org","clientId":"x"}]' },
    'ATOLL_OIDC_ISSUER must name the first',
  ],
])('%s is a bad configuration', (_name, env, message) => {
  expect(() => providersOf(env)).toThrow(message)
})

function providersOf(env: Record<string, string>) {
  return readConfig({ ATOLL_DATA_DIR: '/data', ...env }).config.oidcProviders
}
