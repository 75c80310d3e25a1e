import { createLogger } from '@atoll/service'
import { describe, expect, it } from 'vitest'
import type { RunCommand } from '../../run-command.ts'
import type { OciRuntime } from './launch-sandbox.ts'
import type { PickRuntimeOptions } from './pick-runtime.ts'
import { pickRuntime } from './pick-runtime.ts'

const run: RunCommand = async () => ({ code: 0, stdout: 'crun version 1.8.1\ncommit: x\n', stderr: '' })

function pick(tryRuntime: PickRuntimeOptions['tryRuntime'], options: Partial<PickRuntimeOptions> = {}) {
  const log = createLogger('test', 'silent')
  return pickRuntime({ wanted: '/bin/sh', layout: 'v2', log, run, tryRuntime, ...options })
}

describe('pickRuntime', () => {
  it('takes what works, with the name it gives itself', async () => {
    expect(await pick(async () => undefined)).toEqual({
      path: '/bin/sh',
      label: 'crun 1.8.1',
      hidesUnifiedCgroup: false,
      ending: 'held',
    })
  })

  it('knows a runtime that can keep what has ended', async () => {
    const keeping: RunCommand = async (argv) => ({
      code: 0,
      stdout: argv.includes('--help') ? '   --keep   do not delete the container' : 'runc version 1.1.5\n',
      stderr: '',
    })
    expect(await pick(async () => undefined, { run: keeping })).toMatchObject({ label: 'runc 1.1.5', ending: 'kept' })
  })

  it('hides the newer cgroups from a runtime that refuses a host with both', async () => {
    const refusing = async ({ hidesUnifiedCgroup }: OciRuntime) => {
      if (!hidesUnifiedCgroup) throw new Error('hybrid mode not supported')
    }
    expect((await pick(refusing, { layout: 'hybrid' })).hidesUnifiedCgroup).toBe(true)
    await expect(pick(refusing)).rejects.toThrow('(crun 1.8.1: hybrid mode not supported)')
  })

  it('says of each why it does not work', async () => {
    const failing = async () => {
      throw new Error('permission denied')
    }
    await expect(pick(failing, { wanted: 'no-such-runtime' })).rejects.toThrow('(no-such-runtime: not installed)')
    await expect(pick(failing)).rejects.toThrow('no OCI runtime works on this host (crun 1.8.1: permission denied)')
  })
})
