import { expect, it } from 'vitest'
import { sandboxEnvironment } from './sandbox-environment.ts'

const options = {
  sandboxId: 'id',
  user: { name: 'daytona', uid: 1000, gid: 1000, additionalGids: [], home: '/home/daytona' },
  toolboxToken: 'token',
}

it('leads to the injected programs last, but to npx first', () => {
  const { PATH } = sandboxEnvironment({ ...options, env: {} })
  expect(PATH).toBe(
    '/opt/atoll/tools/first:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/atoll/tools/bin:/opt/atoll/bin',
  )
})

it("keeps the injected programs on a sandbox's own PATH", () => {
  const environment = sandboxEnvironment({ ...options, env: { PATH: '/home/daytona/bin:/bin' } })
  expect(environment['ATOLL_ENV_PATH']).toBe(
    '/opt/atoll/tools/first:/home/daytona/bin:/bin:/opt/atoll/tools/bin:/opt/atoll/bin',
  )
})

it('refuses what no process can be given', () => {
  expect(() => sandboxEnvironment({ ...options, env: { 'A=B': '' } })).toThrow('bad environment variable "A=B"')
  expect(() => sandboxEnvironment({ ...options, env: { A: 'x'.repeat(128 * 1024) } })).toThrow('over 131072 bytes')
})

it('tells the toolbox to await a claim only where that is asked for', () => {
  expect(sandboxEnvironment({ ...options, env: {}, awaitsClaim: true })['ATOLL_AWAITS_CLAIM']).toBe('1')
  expect(sandboxEnvironment({ ...options, env: { ATOLL_AWAITS_CLAIM: '1' } })).not.toHaveProperty('ATOLL_AWAITS_CLAIM')
})
