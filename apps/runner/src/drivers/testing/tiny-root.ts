import { execFile } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const PROGRAMS =
  'sh cat ls id echo rm mkdir stat ln touch hostname sleep chmod chown mv dd wc grep env mount df sync wget nc'

/** Writes a root file system of busybox alone, without C library and accounts, and with a greeting and a folder. */
export async function writeTinyRoot(folder: string): Promise<void> {
  await mkdir(join(folder, 'bin'), { recursive: true })
  await run('cp', ['/bin/busybox', join(folder, 'bin/busybox')])
  for (const name of PROGRAMS.split(' ')) await symlink('busybox', join(folder, 'bin', name))
  await writeFile(join(folder, 'greeting'), 'hello\n')
  await mkdir(join(folder, 'data/old'), { recursive: true })
}

/** Returns that root file system as a tar archive. */
export async function packTinyRoot(folder: string): Promise<Buffer> {
  const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const
  return (await run('tar', ['-c', '-C', folder, '.'], options)).stdout
}
