import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { SandboxSpec } from '@atoll/protocol'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommand } from '../../../run-command.ts'
import { createDiskStore } from '../disks/disk-store.ts'
import { createDiskImage, waitForRelease } from '../sandbox-disk.ts'
import { sandboxFolder } from '../sandbox-folder.ts'
import { openLayerStore } from './layer-store.ts'
import { packDisk } from './sandbox-files.ts'

const run = promisify(execFile)
const SPEC: SandboxSpec = {
  ...{ snapshot: 'host', user: 'root' },
  network: 'none',
  limits: { cpu: 1, memoryGiB: 1, diskGiB: 1 / 32, pids: 16 },
}

let place: string
beforeEach(async () => {
  place = await realpath(await mkdtemp(join(tmpdir(), 'atoll-files-')))
  for (const name of ['layers', 'box', 'mount']) await mkdir(join(place, name))
})
afterEach(() => rm(place, { recursive: true, force: true }))

/** Packs a folder of a disk in which `prepare` was run, and returns the names in the archive. */
async function pack(prepare: string, name: string): Promise<string> {
  const folder = sandboxFolder(place, 'box')
  await createDiskImage(folder.image, SPEC.limits.diskGiB, runCommand)
  const script = `mount -o loop "$1" "$2" && cd "$2" && ${prepare}`
  await run('unshare', ['--mount', 'sh', '-c', script, 'prepare', folder.image, join(place, 'mount')])
  await waitForRelease(folder.image)
  const layers = await openLayerStore(join(place, 'layers'), runCommand)
  const disks = createDiskStore({ dataDir: place, instanceId: '', canClone: false, run: runCommand })
  const context = { host: { run: runCommand, disks }, layers, signal: new AbortController().signal }
  const chunks: Buffer[] = []
  for await (const chunk of packDisk(context, { folder, record: { spec: SPEC, disk: 'image' } }, name))
    chunks.push(chunk)
  const list = run('tar', ['-t'], { encoding: 'utf8' })
  list.child.stdin?.end(Buffer.concat(chunks))
  return (await list).stdout
}

it('a folder of a disk is packed, and made where there is none', async () => {
  expect(await pack('mkdir -p build/out && touch build/out/file', 'build/out')).toBe('./\n./file\n')
})

it('a link in the place of the folder leads nowhere', async () => {
  await expect(pack('mkdir build && ln -s /etc build/out', 'build/out')).rejects.toThrow('exited 1')
})
