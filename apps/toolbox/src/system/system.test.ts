import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MAX_VARIABLES_BYTES } from '../command-environment.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeAll(async () => {
  toolbox = await createTestToolbox({ KEPT: '1', DROPPED: '2', SECRET_A: 'vault:a', SECRET_B: 'vault:b' })
})
afterAll(() => toolbox[Symbol.asyncDispose]())

const get = async (path: string) => bodyOf(await toolbox.call('GET', path))
const change = (json: object) => toolbox.call('POST', '/env', { json })
async function print(...names: string[]): Promise<unknown> {
  const command = names.map((name) => `printf '%s|' "\${${name}-none}"`).join(';')
  return bodyOf(await toolbox.call('POST', '/process/execute', { json: { command } }))['result']
}

describe('the system', () => {
  it('is told by its folders and the version', async () => {
    expect(await get('/project-dir')).toEqual({ dir: toolbox.folder })
    expect(await get('/work-dir')).toEqual({ dir: toolbox.folder })
    expect(await get('/user-home-dir')).toEqual({ dir: toolbox.folder })
    expect(await get('/version')).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) })
  })

  it('has metrics that fit each other', async () => {
    const metrics = await get('/system/metrics')
    const { cpuCount, cpuUsedPct, memTotal, memUsed, diskTotal, diskUsed, diskFree } = metrics
    expect(cpuCount).toBeGreaterThan(0)
    expect(cpuUsedPct).toBeGreaterThanOrEqual(0)
    expect(cpuUsedPct).toBeLessThanOrEqual(100)
    expect(memUsed).toBeLessThanOrEqual(Number(memTotal))
    expect(Number(diskUsed) + Number(diskFree)).toBeLessThanOrEqual(Number(diskTotal))
    expect(Date.parse(String(metrics['timestamp']))).toBeCloseTo(Number(metrics['timestampUnix']) * 1000, -4)
  })
})

describe('a change of the environment', () => {
  it('takes names out, then sets values, for what is started from now on', async () => {
    const json = { set: { ADDED: 'a b', __proto__x: 'p' }, unset: ['DROPPED', 'ADDED', 'unknown'] }
    expect(await change(json)).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect(await print('KEPT', 'DROPPED', 'ADDED', '__proto__x')).toBe('1|none|a b|p|')
  })

  it('takes out what has a value that begins so, except what is set', async () => {
    await change({ unsetValuePrefix: 'vault:', set: { SECRET_B: 'vault:new' } })
    expect(await print('SECRET_A', 'SECRET_B')).toBe('none|vault:new|')
  })

  it.each([
    { set: { 'A=B': '1' } },
    { set: { '': '1' } },
    { set: { KEPT: 'lost', A: '\0' } },
    { set: { A: 1 } },
    { unset: 'KEPT' },
    { set: { KEPT: 'lost', A: 'x'.repeat(MAX_VARIABLES_BYTES) } },
  ])('is refused whole where a part is wrong', async (json) => {
    const response = await change(json)
    expect(response.status).toBe(400)
    expect(await print('KEPT')).toBe('1|')
  })
})
