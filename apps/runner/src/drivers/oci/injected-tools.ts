import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunCommand } from '../../run-command.ts'
import { writeOnce } from './file-tree.ts'

/** File with a hash over the folder's content: apps/sandbox-tools/build.mjs writes it. */
const HASH_FILE = 'hash'
/** How long copying thousands of small files may take, once for each version of the tools, in milliseconds. */
const COPY_DEADLINE_MS = 120_000

export interface InjectedToolsOptions {
  /** Folder in which the copy is made. */
  folder: string
  /** Folder with the built tools. */
  toolsDir: string
  run: RunCommand
}

/**
 * Copies the tools into a folder named by their content, unless it is there, and returns its path: a rebuild must not
 * change files that sandboxes are running. The copy shares blocks where the file system can. Throws an Error when the
 * tools are not built.
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
    // Every user of a sandbox may use the tools, whichever account built them.
    await run(['chmod', '-R', 'a+rX,go-w', '--', draft])
  })
  return target
}
