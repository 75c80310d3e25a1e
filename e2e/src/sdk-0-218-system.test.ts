import { expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { getFromToolbox, shell } from './testing/in-sandbox.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { call } from './testing/shared-system.ts'

const own = ownSandbox218()

it('the folders of a sandbox are told to each generation', async () => {
  expect(await own.sandbox.getUserHomeDir()).toBe('/home/daytona')
  expect(await own.sandbox.getUserRootDir()).toBe('/home/daytona')
  expect(await own.sandbox.getWorkDir()).toBe('/home/daytona')
  expect(await getFromToolbox(own.sandbox, '/project-dir')).toEqual({ dir: '/home/daytona' })
  expect(await getFromToolbox(own.sandbox, '/version')).toEqual({ version: expect.any(String) })
})

it('the environment changes for what is started from now on', async () => {
  await own.sandbox.updateEnv({ GIVEN: 'one', OTHER: 'two words' })
  expect(await shell(own.sandbox, 'echo "$GIVEN $OTHER"')).toBe('one two words')
  await own.sandbox.updateEnv({ OTHER: 'three' }, { unset: ['GIVEN'] })
  expect(await shell(own.sandbox, 'echo "$GIVEN|$OTHER"')).toBe('|three')
})

it('the use of cpu, memory and disk is told', async () => {
  const metrics = await own.sandbox.getMetricsLatest()
  const { cpuCount, memTotal, memUsed, diskTotal, diskUsed } = metrics
  expect(cpuCount).toBe(1)
  expect(memTotal).toBe(1024 ** 3)
  expect(memUsed).toBeGreaterThan(0)
  expect(memUsed).toBeLessThan(memTotal)
  expect(diskUsed).toBeLessThan(diskTotal)
})

it('ports that programs listen on are listed', async () => {
  const program = `require('node:net').createServer().listen(4567, '127.0.0.1')`
  await shell(own.sandbox, `nohup /opt/atoll/bin/node -e "${program}" >/dev/null 2>&1 </dev/null & echo`)
  await eventually('4567 is in use', async () => {
    const { isInUse } = (await getFromToolbox(own.sandbox, '/port/4567/in-use')) as { isInUse: boolean }
    return isInUse
  })
  expect(await getFromToolbox(own.sandbox, '/port')).toMatchObject({ ports: [4567] })
  expect(await getFromToolbox(own.sandbox, '/port/4568/in-use')).toEqual({ isInUse: false })
})

it('processes are listed, and take signals', async () => {
  await shell(own.sandbox, 'nohup sleep 4242 >/dev/null 2>&1 </dev/null & echo')
  const find = async () => {
    const { processes } = (await getFromToolbox(own.sandbox, '/process')) as {
      processes: { pid: number; command: string }[]
    }
    return processes.find(({ command }) => command === 'sleep 4242')
  }
  await eventually('it sleeps', async () => (await find()) !== undefined)
  const pid = (await find())?.pid
  const answer = await call(`/toolbox/${own.sandbox.id}/toolbox/process/${pid}?signal=KILL`, { method: 'DELETE' })
  expect(answer.status).toBe(200)
  await eventually('it is gone', async () => (await find()) === undefined)
})
