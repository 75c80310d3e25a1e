import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
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

let sandboxes: string
beforeEach(async () => {
  sandboxes = await mkdtemp(join(tmpdir(), 'atoll-sandboxes-'))
})
afterEach(() => rm(sandboxes, { recursive: true }))

it('a sandbox is written down and read again', async () => {
  const folder = sandboxFolder(sandboxes, 'a')
  await makeSandboxFolder(folder, RECORD, (draft) => writeFile(join(draft, 'disk.img'), ''))
  expect(await readSandboxRecord(folder)).toEqual(RECORD)
  await writeSandboxRecord(folder, { ...RECORD, reason: 'exit 1' })
  expect(await readSandboxRecord(folder)).toEqual({ ...RECORD, reason: 'exit 1' })
  expect((await readdir(folder.path)).sort()).toEqual(['disk.img', 'sandbox.json'])
  await removeSandboxFolder(folder)
  await removeSandboxFolder(folder)
  expect(await readdir(sandboxes)).toEqual([])
})

it('a sandbox that cannot be made leaves nothing', async () => {
  const making = makeSandboxFolder(sandboxFolder(sandboxes, 'a'), RECORD, async () => {
    throw new Error('full')
  })
  await expect(making).rejects.toThrow('full')
  expect(await readdir(sandboxes)).toEqual([])
})

it('what an interrupted creation or removal left is swept away', async () => {
  await mkdir(join(sandboxes, 'a.draft-1/files'), { recursive: true })
  await mkdir(join(sandboxes, 'b'))
  expect(await sweepSandboxFolders(sandboxes)).toEqual(['b'])
  expect(await readdir(sandboxes)).toEqual(['b'])
})

it.each(['', '{', '{"spec":{}}', 'null'])('the record %j is none', async (text) => {
  const folder = sandboxFolder(sandboxes, 'a')
  await mkdir(folder.path)
  await writeFile(join(folder.path, 'sandbox.json'), text)
  expect(await readSandboxRecord(folder)).toBeUndefined()
})
