import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ConfigSchema, readConfig, SecretsSchema } from './config.ts'

test('what is absent has its default', () => {
  expect(readConfig({ ATOLL_DATA_DIR: '/data', ATOLL_PORT: '' })).toEqual({
    config: {
      dataDir: '/data',
      host: '127.0.0.1',
      port: 3000,
      dialHomeDir: undefined,
      publicUrl: undefined,
      trustedProxies: [],
      runnerLostAfterMs: 120_000,
      previewDomain: undefined,
      oidcProviders: [],
      requireVerifiedEmail: true,
      historyDays: 90,
      s3: undefined,
      warmPool: { snapshots: ['host'], min: 1, max: 8 },
      logLevel: 'info',
    },
    secrets: {
      databaseUrl: undefined,
      runnerToken: undefined,
      adminPassword: undefined,
      proxyApiKey: undefined,
      encryptionKey: undefined,
      s3: undefined,
    },
  })
})

test('a warm pool has no more members than its maximum, and each snapshot once', () => {
  const read = (env: Record<string, string>) => readConfig({ ATOLL_DATA_DIR: '/data', ...env }).config.warmPool
  expect(read({ ATOLL_WARM_POOL_MAX: '0' })).toEqual({ snapshots: ['host'], min: 0, max: 0 })
  expect(read({ ATOLL_WARM_POOL_SNAPSHOTS: ' a, b,,a ' }).snapshots).toEqual(['a', 'b'])
})

test('every problem is told at once, and no secret is', () => {
  const read = () =>
    readConfig({
      ATOLL_PORT: 'many',
      ATOLL_LOG_LEVEL: 'loud',
      DATABASE_URL: 'mysql://hunter2',
      ATOLL_RUNNER_TOKEN: 'hunter2',
    })
  expect(read).toThrow(
    /ATOLL_DATA_DIR[\s\S]*ATOLL_PORT[\s\S]*ATOLL_LOG_LEVEL[\s\S]*DATABASE_URL[\s\S]*ATOLL_RUNNER_TOKEN/,
  )
  expect(read).not.toThrow(/hunter2/)
})

test('S3 is configured whole or not at all, and its secret is no part of what may be shown', () => {
  const given = { ATOLL_DATA_DIR: '/data', ATOLL_S3_BUCKET: 'images', ATOLL_S3_ENDPOINT: 'https://s3.example.org' }
  const keys = { ATOLL_S3_ACCESS_KEY_ID: 'AKID', ATOLL_S3_SECRET_ACCESS_KEY: 'hunter2' }
  const { config, secrets } = readConfig({ ...given, ...keys })
  const endpoint = 'https://s3.example.org'
  expect(config.s3).toEqual({
    bucket: 'images',
    endpoint,
    region: 'us-east-1',
    roleArn: undefined,
    stsEndpoint: endpoint,
  })
  expect(secrets.s3).toEqual({ accessKeyId: 'AKID', secretAccessKey: 'hunter2' })
  expect(() => readConfig(given)).toThrow('ATOLL_S3_ACCESS_KEY_ID')
  expect(() => readConfig({ ATOLL_DATA_DIR: '/data', ...keys })).toThrow('ATOLL_S3_BUCKET')
})

test('trusted proxies are addresses and networks, none of which holds everybody', () => {
  const read = (text: string) => readConfig({ ATOLL_DATA_DIR: '/data', ATOLL_TRUSTED_PROXIES: text })
  expect(read('10.0.0.1, 192.168.0.0/16,fd00::/8,').config.trustedProxies).toEqual([
    ...['10.0.0.1', '192.168.0.0/16', 'fd00::/8'],
  ])
  for (const wrong of [
    'proxy',
    '10.0.0',
    '1',
    '10.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '10.0.0.1/8/8',
    '10.0.0.1/x',
    '/8',
  ]) {
    expect(() => read(`127.0.0.1,${wrong}`)).toThrow(`ATOLL_TRUSTED_PROXIES: ${wrong} is`)
  }
})

test('a folder must be absolute', () => {
  expect(() => readConfig({ ATOLL_DATA_DIR: '.atoll' })).toThrow('.atoll must be an absolute path')
})

test('.env.example names every variable and no other', async () => {
  const text = await readFile(new URL('../.env.example', import.meta.url), 'utf8')
  const named = [...text.matchAll(/^#? ?([A-Z0-9_]+)=/gm)].map(([, name]) => name)
  expect(named.sort()).toEqual(Object.keys({ ...ConfigSchema.properties, ...SecretsSchema.properties }).sort())
})
