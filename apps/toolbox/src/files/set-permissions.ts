import { chmod, chown, stat } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import { parseMode } from './octal-mode.ts'
import { readId } from './user-ids.ts'

/** The id that tells chown to change nothing. */
const UNCHANGED = -1

/**
 * Sets mode, owner and group of a file, folder, pipe or device; a link is followed. Everything is checked before anything
 * is changed. The owner is set first, because that clears the set-user-id bit that the mode may set.
 */
export function createSetPermissions(work: WorkDirectory): Handler<ToolboxOperations['setFilePermissions']> {
  return async ({ query, queryBytes }) => {
    const given = queryBytes('path')
    const path = work.resolve(given)
    const mode = parseMode(query.mode)
    const [owner, group] = await Promise.all([idOf('user', query.owner), idOf('group', query.group)])
    try {
      await stat(path)
      if (owner !== UNCHANGED || group !== UNCHANGED) await chown(path, owner, group)
      if (mode !== undefined) await chmod(path, mode)
    } catch (error) {
      throw fsError(error, given, 'FILE_WRITE_FAILED')
    }
  }
}

async function idOf(kind: 'user' | 'group', nameOrId: string | undefined): Promise<number> {
  return nameOrId === undefined || nameOrId === '' ? UNCHANGED : readId(kind, nameOrId)
}
