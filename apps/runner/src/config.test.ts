import { readFile } from 'node:fs/promises'
import { describe, expect, it, test } from 'vitest'
import { ConfigSchema, readConfig, SecretsSchema } from './config.ts'

const ENV = {
  ATOLL_DATA_DIR: '/data',
  ATOLL_CONTROL_URL: 'http://127.0.0.1:3000/',
  ATOLL_RUNNER_TOKEN: 'runner-token-of-a-test',
  HOME: '/home/someone',
}

describe('readConfig', () => {
  it('reads what it must have and fills in the rest', () => {
    const { config, secrets } = readConfig(ENV)
    expect(config).toMatchObject({
      dataDir: '/data/runner',
      controlUrl: 'http://127.0.0.1:3000',
      dialHomeDir: undefined,
      runtime: undefined,
      network: 'auto',
      snapshotDirectories: [],
      logLevel: 'info',
      ownHome: '/home/someone',
    })
    expect(config.toolboxDir).toMatch(/apps\/toolbox\/dist$/)
    expect(config.toolsDir).toMatch(/apps\/sandbox-tools\/dist$/)
    expect(secrets).toEqual({ runnerToken: 'runner-token-of-a-test' })
    expect(Object.isFrozen(config)).toBe(true)
  })

  it('names everything that is wrong at once, and no secret', () => {
    const bad = { ATOLL_CONTROL_URL: 'ftp://x', ATOLL_RUNNER_TOKEN: 'short', ATOLL_SANDBOX_NETWORK: 'host' }
    expect(() => readConfig(bad)).toThrow(/ATOLL_DATA_DIR|ATOLL_SANDBOX_NETWORK/)
    expect(() => readConfig(bad)).not.toThrow(/short/)
    for (const name of ['ATOLL_CONTROL_URL', 'ATOLL_RUNNER_TOKEN', 'ATOLL_SANDBOX_NETWORK']) {
      expect(() => readConfig(bad)).toThrow(name)
    }
  })

  it('wants absolute paths, and the name or absolute path of a runtime', () => {
    expect(() => readConfig({ ...ENV, ATOLL_DATA_DIR: 'data' })).toThrow('data must be an absolute path')
    expect(() => readConfig({ ...ENV, ATOLL_OCI_RUNTIME: 'bin/crun' })).toThrow('ATOLL_OCI_RUNTIME')
    expect(readConfig({ ...ENV, ATOLL_OCI_RUNTIME: '/opt/runsc' }).config.runtime).toBe('/opt/runsc')
  })
})

test('.env.example names every variable and no other', async () => {
  const text = await readFile(new URL('../.env.example', import.meta.url), 'utf8')
  const named = [...text.matchAll(/^#? ?([A-Z0-9_]+)=/gm)].map(([, name]) => name)
  expect(named.sort()).toEqual(Object.keys({ ...ConfigSchema.properties, ...SecretsSchema.properties }).sort())
})
