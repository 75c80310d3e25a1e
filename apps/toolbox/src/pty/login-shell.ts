import { userInfo } from 'node:os'
import { basename, isAbsolute } from 'node:path'
import { AppError } from '@atoll/protocol'
import { isExecutable } from '../find-program.ts'

/** Where images have a shell that people like to type into, or at least any. */
const SHELLS = ['/bin/bash', '/usr/bin/bash', '/bin/zsh', '/usr/bin/zsh', '/bin/sh']
/** What a user entry names who never wished for anything. */
const NO_WISH = new Set(['sh', 'nologin', 'false'])

/**
 * The shell for a person at a terminal: the one that SHELL or else the user's entry names, else bash, zsh or sh. Throws
 * BAD_REQUEST where there is none.
 * NOTE: zsh is not the first guess. To a user without a .zshrc it shows a questionnaire, which would take what a
 * program types ahead for answers.
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
    // A user without an entry.
    return ''
  }
}
