import type { RunCommand } from '../../run-command.ts'

/** How long a large tree may take to be removed, in milliseconds. */
const REMOVE_DEADLINE_MS = 10 * 60_000

/**
 * Removes a tree that a sandbox may have made. Its folders may be nested deeper than the longest path that the kernel takes,
 * and Node's `rm` names every file by its whole path. Throws CommandError.
 */
export async function removeTree(path: string, run: RunCommand): Promise<void> {
  await run(['rm', '-rf', '--one-file-system', '--', path], { deadlineMs: REMOVE_DEADLINE_MS })
}
