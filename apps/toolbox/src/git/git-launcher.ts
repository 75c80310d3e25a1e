import { constants } from 'node:fs'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fsError } from '../files/fs-error.ts'
import { findProgram, isExecutable } from '../find-program.ts'

/** The launcher's exit code where there is no git, the same as a shell's. */
export const NOT_FOUND_EXIT_CODE = 127

/** Tells git's launcher that its stdin is to be git's descriptor 3. */
export const INPUT_ON_DESCRIPTOR_3 = { ATOLL_GIT_INPUT: '3' }

const PLAIN_SHELL = '/bin/sh'
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'

/** The launcher's script: the shell becomes git, so the number it prints is git's. */
const SCRIPT = `#!/bin/sh
echo "$$" >&2
command -v git >/dev/null 2>&1 || exit ${NOT_FOUND_EXIT_CODE}
if [ "$ATOLL_GIT_INPUT" = 3 ]; then
  unset ATOLL_GIT_INPUT
  exec 3<&0 0</dev/null
fi
exec git "$@"
`

export interface Launch {
  /** A program and its first argument, which come before git's arguments. */
  readonly binary: [string, string]
  /** Whether git will lead a process group of its own. */
  readonly ownGroup: boolean
}

/**
 * Prepares the start of git. simple-git does not report the number of the process it starts, and starts it in our own
 * process group. So a script between the two prints the number as the first line of stderr, and `setsid` gives git a group
 * that can be ended as a whole.
 */
export interface GitLauncher extends AsyncDisposable {
  /** Writes the script where it is missing. Throws fsError's error when the folder of temporary files takes no file. */
  prepare(env: Readonly<Record<string, string>>): Promise<Launch>
}

/** Makes a launcher; its script is in a new folder in `parent`. */
export function createGitLauncher(parent = tmpdir()): GitLauncher {
  let folder: string | undefined
  return {
    async prepare(env) {
      const made = folder === undefined ? undefined : join(folder, 'launch')
      // A program that cleans the folder of temporary files deletes the script too.
      const script = made !== undefined && (await isReadable(made)) ? made : await write()
      const setsid = (await isExecutable(script)) ? await findProgram('setsid', env['PATH'] ?? DEFAULT_PATH) : undefined
      return { binary: [setsid ?? PLAIN_SHELL, script], ownGroup: setsid !== undefined }
    },
    async [Symbol.asyncDispose]() {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    },
  }

  async function write(): Promise<string> {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    try {
      folder = await mkdtemp(join(parent, 'atoll-git-'))
      const script = join(folder, 'launch')
      await writeFile(script, SCRIPT, { mode: 0o700 })
      return script
    } catch (error) {
      throw fsError(error, Buffer.from(parent), 'FILE_WRITE_FAILED')
    }
  }
}

function isReadable(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}
