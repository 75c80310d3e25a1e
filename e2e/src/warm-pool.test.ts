import { Daytona as Daytona218 } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

const SIZE = 2

let system: System
let newest: Daytona218

beforeAll(async () => {
  system = await startSystem({ ATOLL_WARM_POOL_MIN: `${SIZE}`, ATOLL_WARM_POOL_MAX: `${SIZE}` })
  newest = new Daytona218({ apiKey: system.atoll.apiKey, apiUrl: `${system.atoll.url}/api`, target: 'us' })
})
afterAll(async () => {
  await newest[Symbol.asyncDispose]()
  expect(await system.end()).toEqual([])
})

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${system.atoll.url}/metrics`)).text()
  return Number(text.match(new RegExp(`^${name} (\\d+)$`, 'm'))?.[1])
}

const untilFull = () =>
  eventually('the pool is full', async () => (await metric('atoll_warm_pool_members')) >= SIZE, 60_000)

/** Runs `create` and returns whether it claimed a member of the operator's pool. */
async function isClaim(create: () => Promise<unknown>): Promise<boolean> {
  await untilFull()
  const before = await metric('atoll_warm_pool_claims_total')
  await create()
  return (await metric('atoll_warm_pool_claims_total')) === before + 1
}

describe('a sandbox from the warm pool', () => {
  it('is what one made anew is, through SDK 0.23', async () => {
    const daytona = system.daytona()
    const look = `hostname | grep -c "$ATOLL_X"; ls -A ~ /tmp /var/tmp; pwd; env | grep -v "^ATOLL_X\\|^DAYTONA_P\\|^_="`
    const outputs: string[] = []
    // A project folder is one of the few settings for which no member is claimed and a new sandbox is made.
    for (const more of [{}, { DAYTONA_PROJECT_DIR: '/home/daytona' }]) {
      let output = ''
      const claimed = await isClaim(async () => {
        const sandbox = await daytona.create({ envVars: { WHO: 'ada', ...more }, labels: { a: 'b' } })
        expect(sandbox.state).toBe('started')
        const { result } = await sandbox.process.executeCommand(look.replaceAll('$ATOLL_X', sandbox.id.slice(0, 8)))
        output = result.trim().split('\n').sort().join('\n')
        expect((await daytona.get(sandbox.id)).labels).toMatchObject({ a: 'b' })
        await sandbox.delete()
      })
      expect(claimed).toBe(!('DAYTONA_PROJECT_DIR' in more))
      outputs.push(output)
    }
    expect(outputs[0]).toContain('WHO=ada')
    expect(outputs[0]).toBe(outputs[1])
  })

  it('has its variables in commands, sessions and terminals, and after a stop, through SDK 0.218', async () => {
    const claimed = await isClaim(async () => {
      const sandbox = await newest.create({ envVars: { WHO: 'grace' } })
      expect((await sandbox.process.executeCommand('echo $WHO')).result).toBe('grace\n')
      await sandbox.process.createSession('s')
      const command = await sandbox.process.executeSessionCommand('s', { command: 'echo $WHO' })
      expect(command.stdout).toBe('grace\n')
      let shown = ''
      const pty = await sandbox.process.createPty({
        id: 'p',
        onData: (data) => {
          shown += new TextDecoder().decode(data)
        },
      })
      await pty.waitForConnection()
      await pty.sendInput('echo "is $WHO"; exit\n')
      await pty.wait()
      expect(shown).toContain('is grace')
      await sandbox.stop()
      await sandbox.start()
      expect((await sandbox.process.executeCommand('echo $WHO')).result).toBe('grace\n')
      await sandbox.delete()
    })
    expect(claimed).toBe(true)
  })

  it('has its variables though the API dies behind the answer', async () => {
    await untilFull()
    const { id } = await newest.create({ envVars: { WHO: 'kept' } })
    process.kill(system.atoll.pids().api, 'SIGKILL')
    await system.atoll.printed('the api runs again')
    await eventually('a command is answered', async () => {
      const body = JSON.stringify({ command: 'echo $WHO' })
      const headers = { 'content-type': 'application/json' }
      const answer = await system.call(`/toolbox/${id}/toolbox/process/execute`, { method: 'POST', body, headers })
      return answer.status === 200 && ((await answer.json()) as { result: string }).result === 'kept\n'
    })
    await (await newest.get(id)).delete()
  })
})

describe('warm pools of an organization, through SDK 0.218', () => {
  it('are made, filled, used, changed and deleted', async () => {
    const pool = await newest.warmPool.create({ snapshot: 'host', pool: 1 })
    expect(pool).toMatchObject({ snapshot: 'host', pool: 1, target: 'us', osUser: 'daytona', env: {} })
    await expect(newest.warmPool.create({ snapshot: 'host', pool: 1 })).rejects.toMatchObject({ statusCode: 409 })
    const size = async () => (await newest.warmPool.list()).find(({ id }) => id === pool.id)?.currentSize
    await eventually('it is full', async () => (await size()) === 1, 60_000)
    // The members of the organization's own pool are claimed before the operator's.
    let id = ''
    const fromOperators = await isClaim(async () => {
      const sandbox = await newest.create()
      id = sandbox.id
      expect((await sandbox.process.executeCommand('echo hello')).result).toBe('hello\n')
    })
    expect(fromOperators).toBe(false)
    await (await newest.get(id)).delete()
    await eventually('it is full again', async () => (await size()) === 1, 60_000)
    expect((await newest.warmPool.update(pool.id, { pool: 0 })).pool).toBe(0)
    await eventually('it is empty', async () => (await size()) === 0)
    await newest.warmPool.delete(pool.id)
    expect(await newest.warmPool.list()).toEqual([])
    await expect(newest.warmPool.delete(pool.id)).rejects.toMatchObject({ statusCode: 404 })
  })
})
