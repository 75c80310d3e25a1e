import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunCommand } from '../../run-command.ts'
import { writeOnce } from './file-tree.ts'

/** Names all that is in the folder: apps/sandbox-tools/build.mjs writes it. */
const HASH_FILE = 'hash'
/** A slow disk takes a while for thousands of small files, once for each version of the tools, in milliseconds. */
const COPY_DEADLINE_MS = 120_000

export interface InjectedToolsOptions {
  /** Where it is written. */
  folder: string
  /** Folder with the built tools. */
  toolsDir: string
  run: RunCommand
}

/**
 * Copies the tools into a folder named by their content, which is returned, unless it is there: a rebuild must not
 * change what sandboxes are running. A file system that can share blocks between files does. Throws an Error when
 * they are not built.
 */
export async function prepareInjectedTools({ folder, toolsDir, run }: InjectedToolsOptions): Promise<string> {
  const hash = await readFile(join(toolsDir, HASH_FILE), 'utf8').catch((cause: unknown) => {
    throw new Error(`no tools: ${join(toolsDir, HASH_FILE)} is not there; build the tools first`, { cause })
  })
  if (!/^[0-9a-f]{16}$/.test(hash)) throw new Error(`${join(toolsDir, HASH_FILE)} is damaged; build the tools again`)
  const target = join(folder, `tools-${hash}`)
  await writeOnce(target, async (draft) => {
    await run(['cp', '-R', '--preserve=mode', '--reflink=auto', '--', toolsDir, draft], {
      deadlineMs: COPY_DEADLINE_MS,
    })
    // Whoever built them, every user of a sandbox may use them.
    await run(['chmod', '-R', 'a+rX,go-w', '--', draft])
  })
  return target
}
