import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isThere } from '../../../files.ts'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { runningDevice } from '../running-disk.ts'
import { sandboxFolder } from '../sandbox-folder.ts'

let harness: SnapshotHarness
beforeAll(async () => {
  harness = await createSnapshotHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())

/** Mounts a sandbox's device once more, in a mount namespace of its own; writes the file /late when told, and unmounts at the end. */
const SCRIPT = `
mount "$1" "$2"
echo mounted
read -r line
echo written >"$2/upper/late"
echo written
read -r line
`

async function mountAgain(device: string) {
  const place = join(harness.directory, 'again')
  await mkdir(place)
  const child = spawn('unshare', ['--mount', 'sh', '-euc', SCRIPT, 'sh', device, place], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exit = once(child, 'exit')
  await once(child.stdout, 'data')
  const end = async () => {
    child.stdin.end('end\n')
    await exit
  }
  const write = async () => {
    child.stdin.write('write\n')
    await once(child.stdout, 'data')
  }
  return { write, end, [Symbol.asyncDispose]: end }
}

it('I2: a fork has all that is on the disk of its stopped parent, though that is written back late', async () => {
  await harness.startSandbox('parent')
  const folder = sandboxFolder(join(harness.dataDir, 'sandboxes'), 'parent')
  await using mount = await mountAgain(await runningDevice(folder.image))
  await harness.driver.stop('parent', 0)
  await expect.poll(() => isThere(folder.bundle)).toBe(false)
  await mount.write()
  const fork = harness.startSandbox('fork', { forkOf: 'parent' })
  // A fork that does not wait is there by then.
  for (let looks = 0; looks < 100; looks += 1) await runningDevice(folder.image)
  await mount.end()
  expect((await (await fork).exec('cat /late')).stdout).toBe('written\n')
})
