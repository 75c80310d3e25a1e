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
      logLevel: 'info',
    },
    secrets: { databaseUrl: undefined, runnerToken: undefined },
  })
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

test('a folder must be absolute', () => {
  expect(() => readConfig({ ATOLL_DATA_DIR: '.atoll' })).toThrow('.atoll must be an absolute path')
})

test('.env.example names every variable and no other', async () => {
  const text = await readFile(new URL('../.env.example', import.meta.url), 'utf8')
  const named = [...text.matchAll(/^#? ?([A-Z_]+)=/gm)].map(([, name]) => name)
  expect(named.sort()).toEqual(Object.keys({ ...ConfigSchema.properties, ...SecretsSchema.properties }).sort())
})
