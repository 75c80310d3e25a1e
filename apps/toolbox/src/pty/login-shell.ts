import { userInfo } from 'node:os'
import { basename, isAbsolute } from 'node:path'
import { AppError } from '@atoll/protocol'
import { isExecutable } from '../find-program.ts'

/** Paths where images have a shell that people like to type into, or at least any shell. */
const SHELLS = ['/bin/bash', '/usr/bin/bash', '/bin/zsh', '/usr/bin/zsh', '/bin/sh']
/** Shells in a user entry that express no preference. */
const NO_WISH = new Set(['sh', 'nologin', 'false'])

/**
 * Returns the shell for a person at a terminal: the one that SHELL or else the user's entry names, else bash, zsh or sh.
 * Throws BAD_REQUEST where there is none.
 * NOTE: zsh is not the first guess. It shows a user without a .zshrc a questionnaire, which would read the input that a
 * program types ahead as answers.
 */
export async function findLoginShell(env: Readonly<Record<string, string>>): Promise<string> {
  const wishes = [env['SHELL'] ?? '', entryShell()].filter((shell) => isAbsolute(shell))
  for (const shell of [...wishes, ...SHELLS]) if (await isExecutable(shell)) return shell
  throw new AppError('BAD_REQUEST', 'this sandbox has no shell for a terminal')
}

function entryShell(): string {
  try {
    const { shell } = userInfo()
    return shell === null || NO_WISH.has(basename(shell)) ? '' : shell
  } catch {
    // The user has no entry.
    return ''
  }
}
