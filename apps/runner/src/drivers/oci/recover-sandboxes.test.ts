import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { runCommand } from '../../run-command.ts'
import type { ProbedSandbox } from '../testing/driver-harness.ts'
import type { OciHarness } from '../testing/oci-harness.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

let harness: OciHarness

beforeAll(async () => {
  harness = await createOciHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())
afterEach(async () => {
  await unpinAll()
  for (const { sandboxId } of await harness.driver.list()) await harness.driver.remove(sandboxId)
  await expect.poll(() => harness.traces()).toEqual([])
})

const pinned: string[] = []

/** Makes a path a mount point until `unpinAll`: it can be neither removed nor replaced meanwhile. */
async function pin(path: string): Promise<void> {
  await runCommand(['mount', '--bind', path, path])
  pinned.push(path)
}

async function unpinAll(): Promise<void> {
  for (const path of pinned.splice(0)) await runCommand(['umount', '--lazy', path])
}

/** Returns the path of a folder in a folder of the data folder, and makes it where it is missing. */
async function folderIn(part: 'state' | 's', name: string): Promise<string> {
  const path = join(harness.folderOf('any').path, '../..', part, name)
  await mkdir(path, { recursive: true })
  return path
}

/** Kills the driver, and opens another when the sandbox has ended and `meanwhile` is over. */
function crashWhileItEnds(sandbox: ProbedSandbox, meanwhile: () => Promise<void>): Promise<void> {
  return harness.crash(async () => {
    sandbox.exit(5)
    await sandbox.ended
    await meanwhile()
  })
}

async function expectNetwork(sandbox: ProbedSandbox): Promise<void> {
  expect((await sandbox.exec('cat /sys/class/net/eth0/operstate')).stdout).toBe('up\n')
}

it('a try of the host that its runner was killed in leaves nothing', async () => {
  await harness.startSandbox({}, { sandboxId: 'try-0' })
  await harness.crash()
  expect(await harness.driver.list()).toEqual([])
})

it('a sandbox that cannot be cleaned up yet keeps no runner from starting, and is cleaned up when it can be', async () => {
  const [neighbour, sandbox] = [await harness.startSandbox({ network: 'nat' }), await harness.startSandbox()]
  const { sandboxId } = sandbox
  await crashWhileItEnds(sandbox, () => pin(harness.folderOf(sandboxId).rootfs))
  await expectNetwork(neighbour)
  const status = harness.nextStatus(sandboxId)
  await unpinAll()
  expect(await status).toMatchObject({ sandboxId, state: 'stopped' })
})

it('what is left of an unknown sandbox and cannot be removed keeps no runner from starting', async () => {
  const neighbour = await harness.startSandbox({ network: 'nat' })
  const state = await folderIn('state', 'unknown')
  await harness.crash(() => pin(state))
  await expectNetwork(neighbour)
  await unpinAll()
  await harness.crash()
})

it('a sandbox whose end cannot be written down is found stopped, with the reason', async () => {
  const sandbox = await harness.startSandbox()
  const { sandboxId } = sandbox
  // The record can be read but not replaced, as on a full disk.
  await crashWhileItEnds(sandbox, () => pin(join(harness.folderOf(sandboxId).path, 'sandbox.json')))
  await expect.poll(() => harness.driver.get(sandboxId)).toEqual({ sandboxId, state: 'stopped', reason: 'exit 5' })
})

it('a start that fails leaves their network to the sandboxes that run', async () => {
  const sandbox = await harness.startSandbox({ network: 'nat' })
  await pin(await folderIn('s', 'busy'))
  await expect(harness.crash()).rejects.toThrow('EBUSY')
  await expectNetwork(sandbox)
  await unpinAll()
  await harness.crash()
  await expectNetwork(sandbox)
})
