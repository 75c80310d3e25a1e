import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, it } from 'vitest'
import type { RunCommand } from '../../../run-command.ts'
import { CommandError, runCommand } from '../../../run-command.ts'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { POOL_FILE } from './disk-pool.ts'

const run = promisify(execFile)

let harness: SnapshotHarness | undefined
afterEach(() => harness?.[Symbol.asyncDispose]())

/** Returns a `run` that fails for the commands that the host lacks. */
function without(isLacking: (argv: readonly string[]) => boolean): RunCommand {
  return (argv, options) =>
    isLacking(argv) ? Promise.reject(new CommandError(`${argv[0]} is not there`)) : runCommand(argv, options)
}

it.each([
  ['no file system that shares blocks', (argv: readonly string[]) => argv[0] === 'mkfs.xfs', 'mkfs.xfs'],
  ['no loop devices', (argv: readonly string[]) => argv.includes('loop') || argv[0] === 'mkfs.xfs', 'no disk images'],
])('on a host with %s a fork is a copy of every file', async (_, isLacking, reason) => {
  harness = await createSnapshotHarness({ run: without(isLacking) })
  const { driver } = harness
  expect(driver.info.limitations.join()).toContain(`forks: whole copies, for`)
  expect(driver.info.limitations.join()).toContain(reason)
  const parent = await harness.startSandbox('parent', { user: 'root' })
  const tell = 'cd tree && find . -printf "%p %y %m %U:%G %n %s %l\\n" | sort; cat soft; ls /etc/profile 2>&1'
  await parent.exec(
    'mkdir tree && cd tree && echo text > file && ln file hard && ln -s file soft && truncate -s 9M hole && chown 1:2 hole && rm /etc/profile',
  )
  const told = (await parent.exec(tell)).stdout
  expect(told).toMatch(/cannot access/)
  const running = await harness.startSandbox('of-running', { user: 'root', forkOf: 'parent' })
  expect((await running.exec(tell)).stdout).toBe(told)
  await driver.stop('of-running', 0)
  await driver.remove('parent')
  const stopped = await harness.startSandbox('of-stopped', { user: 'root', forkOf: 'of-running' })
  expect((await stopped.exec(tell)).stdout).toBe(told)
  const { stdout } = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])
  expect(stdout).not.toContain(join(harness.dataDir, POOL_FILE))
})

it('a disk of an earlier version, beside which there is a pool by now, goes on and is forked as a copy', async () => {
  let hasXfs = false
  harness = await createSnapshotHarness({ run: without((argv) => argv[0] === 'mkfs.xfs' && !hasXfs) })
  const old = await harness.startSandbox('old')
  await old.exec('echo kept > file')
  hasXfs = true
  await harness.reopen()
  expect(harness.driver.info.limitations.join()).not.toContain('forks')
  const again = await harness.startSandbox('old')
  expect((await again.exec('cat file')).stdout).toBe('kept\n')
  const child = await harness.startSandbox('child', { forkOf: 'old' })
  expect((await child.exec('cat file; echo more >> file')).stdout).toBe('kept\n')
  const grandchild = await harness.startSandbox('grandchild', { forkOf: 'child' })
  expect((await grandchild.exec('cat file')).stdout).toBe('kept\nmore\n')
  await harness.driver.resize('old', {})
  for (const id of ['old', 'child', 'grandchild']) await harness.driver.remove(id)
})

it('I1: a copy that takes too long is ended with all its programs, and the parent goes on', async () => {
  const deadlineMs = 2_000
  const slow: RunCommand = ([program, ...words], options) => {
    if (!words.includes('copy')) return without((argv) => argv[0] === 'mkfs.xfs')([program, ...words], options)
    const hanging = words.map((word) => word.replace('cp -a', 'sleep 100000; cp -a'))
    return runCommand([program, ...hanging], { ...options, deadlineMs })
  }
  harness = await createSnapshotHarness({ run: slow })
  const parent = await harness.startSandbox('parent', { user: 'root' })
  const fork = harness.startSandbox('fork', { user: 'root', forkOf: 'parent' })
  await expect(fork).rejects.toThrow(`took longer than ${deadlineMs} ms`)
  expect((await parent.exec('echo on')).stdout).toBe('on\n')
  expect((await harness.driver.list()).map(({ sandboxId }) => sandboxId)).toEqual(['parent'])
})
