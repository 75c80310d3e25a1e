import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const PROGRAMS = 'sh cat ls id echo rm mkdir stat ln touch sleep chmod mv grep env base64 sync tail'

/** A root folder that holds only busybox and a greeting. */
export interface TinyRoot extends AsyncDisposable {
  readonly folder: string
  /** Returns the folder as a tar archive. */
  pack(): Promise<Buffer<ArrayBuffer>>
}

/** Makes a root folder. The caller must dispose of it. */
export async function createTinyRoot(greeting: string): Promise<TinyRoot> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-root-'))
  await mkdir(join(folder, 'bin'))
  await cp('/bin/busybox', join(folder, 'bin', 'busybox'))
  for (const name of PROGRAMS.split(' ')) await symlink('busybox', join(folder, 'bin', name))
  await writeFile(join(folder, 'greeting'), greeting)
  return {
    folder,
    async pack() {
      const options = { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 } as const
      return Buffer.from((await run('tar', ['-c', '-C', folder, '.'], options)).stdout)
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}
