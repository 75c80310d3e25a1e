import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readImageLayout } from './oci-layout.ts'

const run = promisify(execFile)

let folder: string
/** Names of the layout's files, below the folder. */
let files: { index: string; manifest: string; config: string; layer: string }

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-layout-'))
  await mkdir(join(folder, 'image', 'blobs', 'sha256'), { recursive: true })
  const layer = await blob('a layer')
  const config = await blob(JSON.stringify({ config: { Cmd: ['sh'] } }))
  const manifest = await blob(JSON.stringify({ config: described(config), layers: [described(layer)] }))
  await writeFile(join(folder, 'image', 'index.json'), JSON.stringify({ manifests: [described(manifest)] }))
  files = { index: 'index.json', manifest: nameOf(manifest), config: nameOf(config), layer: nameOf(layer) }
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function blob(text: string): Promise<string> {
  const hash = createHash('sha256').update(text).digest('hex')
  await writeFile(join(folder, 'image', nameOf(hash)), text)
  return hash
}

function nameOf(hash: string): string {
  return join('blobs', 'sha256', hash)
}

function described(hash: string) {
  return { digest: `sha256:${hash}`, size: 1 }
}

test('an image is read from its layout', async () => {
  const image = await readImageLayout(join(folder, 'image'))
  expect(image.config.cmd).toEqual(['sh'])
  expect(image.layers).toMatchObject([{ path: join(folder, 'image', files.layer) }])
})

test.each(['index', 'manifest', 'config', 'layer'] as const)(
  'nothing but a file is taken for its %s: neither a link out of it, a pipe nor a device',
  async (which) => {
    const path = join(folder, 'image', files[which])
    const outside = join(folder, 'outside')
    await rename(path, outside)
    await symlink(outside, path)
    await refused()
    await rm(path)
    await run('mkfifo', [path])
    await refused()
    await rm(path)
    await symlink('/dev/zero', path)
    await refused()
    await rm(path)
    await refused()
  },
)

test('no folder of it is a link', async () => {
  await rename(join(folder, 'image', 'blobs'), join(folder, 'outside'))
  await symlink(join(folder, 'outside'), join(folder, 'image', 'blobs'))
  await refused()
})

async function refused(): Promise<void> {
  await expect(readImageLayout(join(folder, 'image'))).rejects.toMatchObject({ name: 'SnapshotError' })
}
