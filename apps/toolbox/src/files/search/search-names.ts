import { opendir } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../../call.ts'
import { StreamReply } from '../../call.ts'
import type { WorkDirectory } from '../../work-directory.ts'
import { fsError } from '../fs-error.ts'
import { compileGlob } from '../glob.ts'
import { JSON_HEADERS, jsonArray } from '../json-array.ts'
import { shown, tidyPath, walkTree } from '../walk-tree.ts'
import type { SearchLife } from './search-life.ts'

/** The most paths in one answer; the header `x-result-limit` tells it, and the answer ends there. */
const MAX_FOUND_PATHS = 1_000_000

/**
 * Finds files, folders, links and all other entries below a folder by the pattern of their base name, as it walks, in no
 * set order. A link is matched by its own name and not entered, unless the walk starts at it.
 */
export function createSearchNames(work: WorkDirectory, life: SearchLife): Handler<ToolboxOperations['searchFiles']> {
  return async ({ query, queryBytes, signal }) => {
    const isMatch = compileGlob(query.pattern)
    const given = queryBytes('path')
    const start = work.resolve(given)
    try {
      await (await opendir(start)).close()
    } catch (error) {
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
    const found = life.run(signal, (stop) => findNames({ start: tidyPath(start), isMatch, stop }))
    return new StreamReply({
      status: 200,
      headers: { ...JSON_HEADERS, 'x-result-limit': String(MAX_FOUND_PATHS) },
      body: jsonArray(found, { before: '{"files":', after: '}' }),
    })
  }
}

async function* findNames(options: { start: string; isMatch: (name: string) => boolean; stop: AbortSignal }) {
  let room = MAX_FOUND_PATHS
  for await (const batch of walkTree(options.start, options.stop)) {
    const paths = batch.filter(({ entry }) => options.isMatch(shown(entry.name))).map(({ path }) => shown(path))
    yield paths.slice(0, room)
    room -= paths.length
    if (room <= 0) return
  }
}
