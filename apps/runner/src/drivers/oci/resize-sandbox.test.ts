import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SnapshotHarness } from '../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../testing/snapshot-harness.ts'

const GIB = 1024 ** 3

let harness: SnapshotHarness
beforeAll(async () => {
  harness = await createSnapshotHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())

/** Returns the limits that the kernel has for a sandbox now: cpu microseconds of 100,000, and bytes of memory. */
async function limitsInForce(sandboxId: string) {
  const instance = await readFile(join(harness.dataDir, 'instance-id'), 'utf8')
  const unified = join('/sys/fs/cgroup', `atoll-${instance}`, sandboxId)
  const read = (path: string) => readFile(path, 'utf8').then((text) => text.trim())
  if ((await readdir('/sys/fs/cgroup')).includes('cgroup.controllers')) {
    return [
      Number((await read(join(unified, 'cpu.max'))).split(' ')[0]),
      Number(await read(join(unified, 'memory.max'))),
    ]
  }
  const below = (file: string) =>
    read(
      join('/sys/fs/cgroup', file.split('.')[0]?.replace(/^cfs$/, 'cpu') ?? '', `atoll-${instance}`, sandboxId, file),
    )
  return [Number(await below('cpu.cfs_quota_us')), Number(await below('memory.limit_in_bytes'))]
}

it('a running sandbox gets more memory and another share of the cpu at once, for good', async () => {
  const sandbox = await harness.startSandbox('running')
  expect(await limitsInForce('running')).toEqual([100_000, 0.25 * GIB])
  // The process needs more memory than the sandbox has, and dies.
  const hungry = "node -e 'Buffer.alloc(400 * 1024 * 1024, 1); console.log(1)'"
  expect((await sandbox.exec(hungry)).stdout).toBe('')
  expect(await harness.driver.resize('running', { cpu: 0.5, memoryGiB: 1 })).toMatchObject({ state: 'running' })
  expect(await limitsInForce('running')).toEqual([50_000, GIB])
  expect((await sandbox.exec(hungry)).stdout).toBe('1\n')
  await harness.driver.resize('running', { cpu: 2 })
  expect(await limitsInForce('running')).toEqual([200_000, GIB])
  await harness.driver.stop('running', 0)
  await harness.reopen()
  await harness.startSandbox('running')
  expect(await limitsInForce('running')).toEqual([200_000, GIB])
})

it('the disk grows while the sandbox is stopped, with its files', async () => {
  const sandbox = await harness.startSandbox('grown')
  const sizeMiB = "df -m / | awk 'NR == 2 { print $2 }'"
  const before = Number((await sandbox.exec(sizeMiB)).stdout)
  await sandbox.exec('echo kept >~/file')
  const conflict = { code: 'SANDBOX_STATE_CONFLICT' }
  await expect(harness.driver.resize('grown', { diskGiB: 0.5 })).rejects.toMatchObject(conflict)
  await expect(harness.driver.resize('grown', { memoryGiB: 0.125 })).rejects.toMatchObject(conflict)
  await harness.driver.stop('grown', 0)
  await harness.driver.resize('grown', { diskGiB: 0.5, memoryGiB: 0.2 })
  await harness.driver.resize('grown', { diskGiB: 0.5 })
  await expect(harness.driver.resize('grown', { diskGiB: 0.25 })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  const again = await harness.startSandbox('grown')
  expect((await again.exec('cat ~/file')).stdout).toBe('kept\n')
  expect(Number((await again.exec(sizeMiB)).stdout)).toBeGreaterThan(before * 1.8)
  expect((await limitsInForce('grown'))[1]).toBe(Math.floor((0.2 * GIB) / 4096) * 4096)
})

it('a sandbox that was resized is still the one that was made', async () => {
  const spec = {
    snapshot: 'host',
    user: 'daytona',
    network: 'none',
    limits: { cpu: 1, memoryGiB: 0.25, diskGiB: 0.25, pids: 64 },
  } as const
  await harness.driver.create('same', spec)
  await harness.driver.resize('same', { cpu: 2 })
  await harness.driver.setNetworkRules('same', { blockAll: true })
  expect(await harness.driver.create('same', spec)).toMatchObject({ state: 'stopped' })
  await expect(harness.driver.setNetworkRules('same', { blockAll: false, allowList: ['x'] })).rejects.toMatchObject({
    code: 'BAD_REQUEST',
  })
  await expect(harness.driver.resize('nobody', {})).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
})
