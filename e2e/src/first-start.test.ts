import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { startAtoll } from '@atoll/dev-env'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

let system: System
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-e2e-start-'))
  system = await startSystem()
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  expect(await system.end()).toEqual([])
})

describe('the first start', () => {
  it('shows the key once, and keeps it for its owner only', async () => {
    const { atoll } = system
    expect(atoll.apiKey).toMatch(/^dtn_[0-9a-f]{64}$/)
    expect(atoll.output()).toContain(`${atoll.apiKey}  (shown this once)`)
    expect(statSync(join(atoll.dataDir, 'api-key')).mode & 0o777).toBe(0o600)
    expect(statSync(atoll.dataDir).mode & 0o777).toBe(0o700)
  })

  it('prints an example that runs as it stands', async () => {
    const script = /^import .*sandbox\.delete\(\)$/ms.exec(system.atoll.output())?.[0]
    writeFileSync(join(folder, 'example.mjs'), script ?? '')
    // The link does the work of `npm install`.
    mkdirSync(join(folder, 'node_modules/@daytonaio'), { recursive: true })
    symlinkSync(sdkFolder(), join(folder, 'node_modules/@daytonaio/sdk'))
    const run = await runNode('example.mjs')
    expect(run).toEqual({ status: 0, stdout: 'Hello from Linux\n\nkept in a sandbox\n', stderr: '' })
    await eventually('its sandbox is gone', async () => (await system.daytona().list()).length === 0)
  })

  it('answers where it says', async () => {
    const health = await fetch(`${system.atoll.url}/api/health`)
    expect(await health.json()).toMatchObject({ status: 'ok' })
    const document = await (await fetch(`${system.atoll.url}/api/docs/json`)).json()
    expect(document).toMatchObject({
      openapi: expect.stringMatching(/^3\.1/),
      paths: { '/api/sandbox': {}, '/api/toolbox/{sandboxId}/toolbox/process/execute': {} },
    })
    expect(await (await fetch(`${system.atoll.url}/metrics`)).text()).toContain('# TYPE')
  })

  it('COVERAGE.md names every operation of the OpenAPI document, and no other', async () => {
    const answer = await fetch(`${system.atoll.url}/api/docs/json`)
    const { paths } = (await answer.json()) as { paths: Record<string, object> }
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const text = readFileSync(join(import.meta.dirname, '../COVERAGE.md'), 'utf8')
    const listed = [...text.matchAll(/^\| ([A-Z]+ \/\S+)\s+\|/gm)].map(([, operation]) => operation)
    expect(listed.sort()).toEqual(operations.sort())
  })

  it('shows the key no more the second time', async () => {
    await system.atoll.restart()
    expect(system.atoll.output()).toContain('runs at')
    expect(system.atoll.output()).not.toContain(system.atoll.apiKey)
  })
})

describe('a start that cannot be', () => {
  it('names the data folder that is in use', async () => {
    const { dataDir } = system.atoll
    await expect(startAtoll({ dataDir })).rejects.toThrow(`atoll: data folder ${dataDir} is in use by another Atoll`)
  })

  it('names the port that is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    await expect(startAtoll({ env: { ATOLL_PORT: String(port) } })).rejects.toThrow(
      `atoll: port ${port} on 127.0.0.1 is taken`,
    )
    taken.close()
  })

  it('names every setting that is wrong', async () => {
    await expect(startAtoll({ env: { ATOLL_PORT: 'three thousand' } })).rejects.toThrow('ATOLL_PORT')
  })
})

function sdkFolder(): string {
  return dirname(dirname(new URL(import.meta.resolve('@daytonaio/sdk')).pathname))
}

async function runNode(script: string) {
  const child = spawn(process.execPath, [script], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [status] = await once(child, 'close')
  return { status, stdout, stderr }
}
