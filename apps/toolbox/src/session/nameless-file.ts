import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Opens a new file without a name, which is gone once it is closed, whatever happens to this process. */
export async function openNamelessFile(): Promise<FileHandle> {
  const path = join(tmpdir(), `.atoll-${randomBytes(8).toString('hex')}`)
  const file = await open(path, 'wx+', 0o600)
  await rm(path, { force: true })
  return file
}
