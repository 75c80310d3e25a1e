import type { Daytona, Sandbox } from '@daytonaio/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { ownOrganization } from './testing/guest.ts'
import { sdk23 } from './testing/shared-system.ts'

let daytona: Daytona

beforeAll(async () => {
  daytona = sdk23((await ownOrganization('Lilith')).apiKey)
})

describe('a sandbox through the official SDK', () => {
  let sandbox: Sandbox

  it('is started when create returns', async () => {
    sandbox = await daytona.create({ labels: { purpose: 'life' }, envVars: { GREETING: 'hello there' } })
    expect(sandbox).toMatchObject({ state: 'started', user: 'daytona', env: { GREETING: 'hello there' } })
    expect(sandbox.labels).toMatchObject({ purpose: 'life' })
  })

  it('has its environment, its home and its user', async () => {
    const { exitCode, result } = await sandbox.process.executeCommand('echo "$GREETING|$HOME|$(id -un)|$(pwd)"')
    expect({ exitCode, result: result.trim() }).toEqual({
      exitCode: 0,
      result: 'hello there|/home/daytona|daytona|/home/daytona',
    })
  })

  it('shows nothing of the system to the commands it runs', async () => {
    const { result } = await sandbox.process.executeCommand('env')
    expect(result).not.toContain('ATOLL_')
  })

  it('is found by its labels, and by no others', async () => {
    expect(await ids({ purpose: 'life' })).toEqual([sandbox.id])
    expect(await ids({ purpose: 'other' })).toEqual([])
  })

  it('takes new labels', async () => {
    expect(await sandbox.setLabels({ purpose: 'changed', 'with space': 'ü' })).toEqual({
      purpose: 'changed',
      'with space': 'ü',
    })
    expect(await ids({ purpose: 'changed', 'with space': 'ü' })).toEqual([sandbox.id])
    expect(await ids({ purpose: 'life' })).toEqual([])
  })

  it('keeps its files, and not its processes, over stop and start', async () => {
    await sandbox.fs.uploadFile(Buffer.from('still here'), 'kept.txt')
    await sandbox.process.executeCommand('nohup sleep 1000 >/dev/null 2>&1 &')
    await sandbox.stop()
    expect(sandbox.state).toBe('stopped')
    await sandbox.start()
    expect(sandbox.state).toBe('started')
    expect((await sandbox.fs.downloadFile('kept.txt')).toString()).toBe('still here')
    const { result } = await sandbox.process.executeCommand("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo $GREETING")
    expect(result).not.toContain('sleep 1000')
    expect(result).toContain('hello there')
  })

  it('cannot see another one, nor be seen by it', async () => {
    const other = await daytona.create()
    await other.process.executeCommand('echo secret > /tmp/other.txt; nohup sleep 4242 >/dev/null 2>&1 &')
    const { result } = await sandbox.process.executeCommand(
      "ls /tmp; hostname; cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    )
    expect(result).not.toMatch(/other\.txt|sleep 4242/)
    expect(result).not.toContain((await other.process.executeCommand('hostname')).result.trim())
    expect((await ids()).sort()).toEqual([sandbox.id, other.id].sort())
    await other.delete()
  })

  it('soon leaves the list, and is destroyed when asked for, once deleted', async () => {
    await sandbox.delete()
    await eventually('the list is empty', async () => (await ids()).length === 0)
    expect((await daytona.get(sandbox.id)).state).toBe('destroyed')
  })
})

describe('ten sandboxes at once', () => {
  it('all start, answer for themselves and go', async () => {
    const sandboxes = await Promise.all(
      Array.from({ length: 10 }, (_, number) => daytona.create({ envVars: { NUMBER: String(number) } })),
    )
    const answers = await Promise.all(sandboxes.map((one) => one.process.executeCommand('echo $NUMBER')))
    expect(answers.map((one) => Number(one.result))).toEqual(sandboxes.map((_, number) => number))
    await Promise.all(sandboxes.map((one) => one.delete()))
    await eventually('the list is empty', async () => (await ids()).length === 0)
  })
})

async function ids(labels?: Record<string, string>): Promise<string[]> {
  return (await daytona.list(labels)).map((one) => one.id)
}
