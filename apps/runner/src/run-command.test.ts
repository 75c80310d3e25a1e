import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'
import { MAX_COMMAND_OUTPUT_BYTES, runCommand, WITH_ALL_IT_STARTS } from './run-command.ts'

/** Returns a command line of its own, which takes minutes. */
const longCommand = () => ['sleep', String(1000 + randomInt(1e9))] as const

async function isRunning(argv: readonly string[]): Promise<boolean> {
  return (await runCommand(['pgrep', '--exact', '--full', argv.join(' ')], { accept: [0, 1] })).code === 0
}

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

  it('I1: ends a script with all that it started', async () => {
    const long = longCommand()
    const script = ['sh', '-c', `echo first; ${long.join(' ')}; echo last`] as const
    expect((await runCommand([...WITH_ALL_IT_STARTS, 'sh', '-c', 'echo said; exit 3'], { accept: [3] })).stdout).toBe(
      'said\n',
    )
    const ended = runCommand([...WITH_ALL_IT_STARTS, ...script], { deadlineMs: 500 })
    await expect(ended).rejects.toThrow('unshare took longer than 500 ms')
    expect(await isRunning(long)).toBe(false)
  })

  it('I1: ends a program that is to end with this process, though this process is killed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atoll-run-'))
    try {
      const [plain, script] = [longCommand(), longCommand()]
      const [bundle, main] = [join(folder, 'run-command.mjs'), join(folder, 'main.mjs')]
      const entry = join(import.meta.dirname, 'run-command.ts')
      await build({ entryPoints: [entry], outfile: bundle, bundle: true, platform: 'node', format: 'esm' })
      const commands = [plain, [...WITH_ALL_IT_STARTS, 'sh', '-c', `${script.join(' ')}; true`]]
      const source = `import { runCommand } from '${bundle}'
        for (const argv of ${JSON.stringify(commands)}) runCommand(argv, { endsWithRunner: true })`
      await writeFile(main, source)
      const runner = fork(main, { execArgv: [] })
      const exit = once(runner, 'exit')
      for (const long of [plain, script]) await expect.poll(() => isRunning(long)).toBe(true)
      runner.kill('SIGKILL')
      await exit
      for (const long of [plain, script]) await expect.poll(() => isRunning(long)).toBe(false)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
