import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { form, MULTIPART_HEADERS } from '../testing/multipart.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

const isRoot = process.getuid?.() === 0
let disk: string

/** Mounts a disk with room for two files: the root folder and one more. */
beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'atoll-full-'))
  if (isRoot) execFileSync('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=2', 'none', disk])
  writeFileSync(join(disk, 'only'), '')
})
afterEach(() => {
  if (isRoot) execFileSync('umount', [disk])
  rmSync(disk, { recursive: true })
})

describe.runIf(isRoot)('on a disk that is full', () => {
  it.each(['file', 'new/file', 'new/deeper/file'])('an upload to %s says so and leaves nothing', async (path) => {
    await using toolbox = await createTestToolbox()
    const call = { query: { path: join(disk, path) }, headers: MULTIPART_HEADERS, body: form('x') }
    const response = await toolbox.call('POST', '/files/upload', call)
    expect(bodyOf(response)).toMatchObject({ statusCode: 400, code: 'DISK_FULL' })
    expect(await readdir(disk)).toEqual(['only'])
  })

  it('so does making a folder', async () => {
    await using toolbox = await createTestToolbox()
    const response = await toolbox.call('POST', '/files/folder', { query: { path: join(disk, 'new/folder') } })
    expect(bodyOf(response)).toMatchObject({ statusCode: 400, code: 'DISK_FULL' })
  })
})
