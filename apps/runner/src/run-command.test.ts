import { describe, expect, it } from 'vitest'
import { MAX_COMMAND_OUTPUT_BYTES, runCommand } from './run-command.ts'

describe('runCommand', () => {
  it('gives its input and returns what it wrote', async () => {
    expect(await runCommand(['sh', '-c', 'cat; echo err >&2'], { input: 'in' })).toEqual({
      code: 0,
      stdout: 'in',
      stderr: 'err\n',
    })
  })

  it('fails with the words of the program, and accepts the codes it is told to', async () => {
    const failing = ['sh', '-c', 'echo why >&2; exit 3'] as const
    await expect(runCommand(failing)).rejects.toMatchObject({ message: 'sh exited 3: why', code: 3 })
    expect((await runCommand(failing, { accept: [3] })).code).toBe(3)
  })

  it('says so when there is no such program', async () => {
    await expect(runCommand(['no-such-program-here'])).rejects.toThrow('no-such-program-here could not be started')
  })

  it('ends a program that takes too long or writes too much', async () => {
    await expect(runCommand(['sleep', '1000'], { deadlineMs: 10 })).rejects.toThrow('sleep took longer than 10 ms')
    await expect(runCommand(['cat', '/dev/zero'])).rejects.toThrow('cat wrote too much')
    const most = await runCommand(['head', '-c', String(MAX_COMMAND_OUTPUT_BYTES), '/dev/zero'])
    expect(most.stdout.length).toBe(MAX_COMMAND_OUTPUT_BYTES)
  })
})
