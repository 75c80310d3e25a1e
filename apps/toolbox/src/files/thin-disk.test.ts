import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BOUNDARY, form, MULTIPART_HEADERS } from '../testing/multipart.ts'
import { createTestToolbox } from '../testing/test-toolbox.ts'

const MIB = 1024 ** 2
const isRoot = process.getuid?.() === 0
let folder: string
let disk: string

/** Mounts a disk of 64 MiB on a host that has room for 8: bytes written beyond those are accepted, and then lost. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-thin-'))
  disk = join(folder, 'disk')
  if (!isRoot) return
  mkdirSync(join(folder, 'host'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', join(folder, 'host')])
  const image = join(folder, 'host/image')
  writeFileSync(image, '')
  truncateSync(image, 64 * MIB)
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', image])
  mkdirSync(disk)
  // The long commit interval commits only on request: a journal that finds no room ends the file system.
  execFileSync('mount', ['-o', 'loop,noinit_itable,commit=600', image, disk])
})
afterEach(() => {
  // Unmounts lazily, because the kernel releases the image some time later.
  if (isRoot) for (const path of [disk, join(folder, 'host')]) execFileSync('umount', ['--lazy', path])
  rmSync(folder, { recursive: true, force: true })
})

describe.runIf(isRoot)('on a disk that promises more room than its host has', () => {
  it('an upload is acknowledged once it is on disk, and one that cannot be leaves what was there', async () => {
    await using toolbox = await createTestToolbox()
    const upload = (content: Buffer | string) => {
      const query = { path: join(disk, 'file') }
      return toolbox.call('POST', '/files/upload', {
        query,
        headers: MULTIPART_HEADERS,
        body: Buffer.from(form(content)),
      })
    }
    expect((await upload('kept')).status).toBe(200)
    expect((await upload(randomBytes(32 * MIB))).status).toBeGreaterThanOrEqual(400)
    expect(await readFile(join(disk, 'file'), 'utf8')).toBe('kept')
    expect((await readdir(disk)).sort()).toEqual(['file', 'lost+found'])
  })

  it('a bulk upload names what did not reach the disk', async () => {
    await using toolbox = await createTestToolbox()
    const part = (index: number, path: string, content: string) =>
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="files[${index}].path"\r\n\r\n${path}\r\n` +
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="files[${index}].file"; filename="x"\r\n\r\n${content}\r\n`
    const large = randomBytes(16 * MIB).toString('hex')
    const parts = [part(0, join(disk, 'small'), 'kept'), part(1, join(disk, 'large'), large)]
    const { status } = await toolbox.call('POST', '/files/bulk-upload', {
      ...{ headers: MULTIPART_HEADERS, body: Buffer.from(`${parts.join('')}--${BOUNDARY}--\r\n`) },
    })
    expect(status).toBe(400)
    expect(await readFile(join(disk, 'small'), 'utf8')).toBe('kept')
  })
})
