import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommand } from '../../run-command.ts'
import { createDiskStore } from './disks/disk-store.ts'
import { createDiskImage } from './sandbox-disk.ts'
import type { SandboxRecord } from './sandbox-folder.ts'
import {
  makeSandboxFolder,
  readSandboxRecord,
  removeSandboxFolder,
  sandboxFolder,
  sweepSandboxFolders,
  writeSandboxRecord,
} from './sandbox-folder.ts'

const RECORD: SandboxRecord = {
  spec: {
    snapshot: 'host',
    user: 'daytona',
    limits: { cpu: 1, memoryGiB: 1, diskGiB: 1, pids: 64 },
    network: 'none',
  },
  disk: 'image',
}

const LOG = createLogger('test', 'silent')
const DISKS = createDiskStore({ dataDir: tmpdir(), instanceId: '', canClone: false, run: runCommand })

let sandboxes: string
beforeEach(async () => {
  sandboxes = await mkdtemp(join(tmpdir(), 'atoll-sandboxes-'))
})
afterEach(() => rm(sandboxes, { recursive: true }))

it('a sandbox is written down and read again', async () => {
  const folder = sandboxFolder(sandboxes, 'a')
  await makeSandboxFolder(folder, {
    record: RECORD,
    disks: DISKS,
    fill: (draft) => writeFile(join(draft, 'disk.img'), ''),
  })
  expect(await readSandboxRecord(folder)).toEqual(RECORD)
  await writeSandboxRecord(folder, { ...RECORD, reason: 'exit 1' })
  expect(await readSandboxRecord(folder)).toEqual({ ...RECORD, reason: 'exit 1' })
  expect((await readdir(folder.path)).sort()).toEqual(['disk.img', 'sandbox.json'])
  await removeSandboxFolder(folder, DISKS)
  await removeSandboxFolder(folder, DISKS)
  expect(await readdir(sandboxes)).toEqual([])
})

it('a sandbox that cannot be made leaves nothing', async () => {
  const making = makeSandboxFolder(sandboxFolder(sandboxes, 'a'), {
    record: RECORD,
    disks: DISKS,
    fill: async () => {
      throw new Error('full')
    },
  })
  await expect(making).rejects.toThrow('full')
  expect(await readdir(sandboxes)).toEqual([])
})

/** Mounts an image until the result is disposed. */
async function mount(image: string, folder: string): Promise<AsyncDisposable> {
  // The kernel flushes nothing by itself in the time that a test takes.
  await runCommand(['mount', '-o', 'loop,commit=600', image, folder])
  return { [Symbol.asyncDispose]: async () => void (await runCommand(['umount', '--lazy', folder])) }
}

it('I5: a sandbox that was made is there after a power cut', async () => {
  const [image, left, folder] = [join(sandboxes, 'image'), join(sandboxes, 'left'), join(sandboxes, 'folder')]
  await createDiskImage(image, 1 / 16, runCommand)
  await mkdir(folder)
  {
    await using _ = await mount(image, folder)
    await makeSandboxFolder(sandboxFolder(folder, 'a'), { record: RECORD, disks: DISKS, fill: async () => undefined })
    // The image has only the data that were flushed.
    await copyFile(image, left)
  }
  await using _ = await mount(left, folder)
  expect((await readdir(folder)).sort()).toEqual(['a', 'lost+found'])
  expect(await readSandboxRecord(sandboxFolder(folder, 'a'))).toEqual(RECORD)
})

it('what an interrupted creation or removal left is swept away', async () => {
  await mkdir(join(sandboxes, 'a.draft-1/files'), { recursive: true })
  await mkdir(join(sandboxes, 'b'))
  const ended: string[] = []
  const end = async (sandboxId: string) => {
    ended.push(sandboxId)
    expect(await readdir(sandboxes)).toContain(sandboxId)
  }
  expect(await sweepSandboxFolders(sandboxes, { disks: DISKS, end, log: LOG })).toEqual(['b'])
  expect([ended, await readdir(sandboxes)]).toEqual([['a.draft-1'], ['b']])
})

it('a draft that cannot be swept away keeps nothing else from being found and swept', async () => {
  for (const name of ['a.draft-1', 'b', 'c.draft-2']) await mkdir(join(sandboxes, name))
  const end = async (sandboxId: string) => {
    if (sandboxId === 'a.draft-1') throw new Error('its processes do not end')
  }
  expect(await sweepSandboxFolders(sandboxes, { disks: DISKS, end, log: LOG })).toEqual(['b'])
  expect((await readdir(sandboxes)).sort()).toEqual(['a.draft-1', 'b'])
})

it.each(['', '{', '{"spec":{}}', 'null'])('the record %j is none', async (text) => {
  const folder = sandboxFolder(sandboxes, 'a')
  await mkdir(folder.path)
  await writeFile(join(folder.path, 'sandbox.json'), text)
  expect(await readSandboxRecord(folder)).toBeUndefined()
})
