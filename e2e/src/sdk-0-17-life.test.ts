import { randomUUID } from 'node:crypto'
import type { Daytona, Sandbox } from 'daytona-sdk-0-17'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { call, sdk17 } from './testing/shared-system.ts'

let daytona: Daytona

beforeAll(() => {
  daytona = sdk17()
})

describe('a sandbox through SDK 0.17', () => {
  const mark = randomUUID()
  let sandbox: Sandbox

  it('is started when create returns', async () => {
    sandbox = await daytona.create({ language: 'python', labels: { mark }, envVars: { GREETING: 'hello' } })
    expect(await sandbox.info()).toMatchObject({
      ...{ id: sandbox.id, state: 'started', image: 'host', user: 'daytona', target: 'us', region: 'us' },
      ...{ class: 'small', public: false, env: { GREETING: 'hello' }, autoStopInterval: 15 },
      resources: { cpu: '1', gpu: null, memory: '1Gi', disk: '3Gi' },
      labels: { mark, 'code-toolbox-language': 'python' },
      ...{ created: expect.stringMatching(/Z$/), updatedAt: expect.stringMatching(/Z$/) },
    })
  })

  it('has its environment and its home', async () => {
    const { exitCode, result } = await sandbox.process.executeCommand('echo "$GREETING|$(pwd)"')
    expect({ exitCode, result: result.trim() }).toEqual({ exitCode: 0, result: 'hello|/home/daytona' })
    expect(await sandbox.getUserRootDir()).toBe('/home/daytona')
  })

  it('is found by its id and its labels', async () => {
    expect((await daytona.get(sandbox.id)).instance.state).toBe('started')
    expect((await daytona.findOne({ labels: { mark } })).id).toBe(sandbox.id)
    expect(await daytona.list({ mark: 'other' })).toEqual([])
  })

  it('takes new labels', async () => {
    await sandbox.setLabels({ mark, more: 'yes' })
    expect((await daytona.list({ mark, more: 'yes' })).map((one) => one.id)).toEqual([sandbox.id])
  })

  it('keeps its files over stop and start', async () => {
    await sandbox.process.executeCommand('echo kept > kept.txt')
    await sandbox.stop()
    expect((await sandbox.info()).state).toBe('stopped')
    await sandbox.start()
    expect((await sandbox.process.executeCommand('cat kept.txt')).result).toBe('kept\n')
  })

  it('is the same sandbox by its newer name', async () => {
    expect(await (await call(`/sandbox/${sandbox.id}`)).json()).toMatchObject({ id: sandbox.id, state: 'started' })
  })

  it('says where its ports are, and what opens them', async () => {
    const { url, token } = await sandbox.getPreviewLink(3000)
    expect(new URL(url).hostname).toBe(`3000-${sandbox.id}.localhost`)
    expect(await (await call(`/sandbox/${sandbox.id}/ports/3000/preview-url`)).json()).toEqual({
      ...{ sandboxId: sandbox.id, url, token },
    })
  })

  it('soon leaves the list once deleted', async () => {
    await daytona.delete(sandbox)
    await eventually('the list is empty', async () => (await daytona.list({ mark })).length === 0)
    expect((await sandbox.info()).state).toBe('destroyed')
  })
})

it('resources may be chosen', async () => {
  const sandbox = await daytona.create({ language: 'python', resources: { cpu: 2, memory: 2, disk: 4 } })
  expect((await sandbox.info()).resources).toMatchObject({ cpu: '2', memory: '2Gi', disk: '4Gi' })
  await sandbox.delete()
})

it('an image that is not there is named', async () => {
  await expect(daytona.create({ language: 'python', image: 'no-such-image:1' })).rejects.toThrow('no-such-image:1')
})
