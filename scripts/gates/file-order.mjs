import { BaseSequencer } from 'vitest/node'

/** Files that mostly wait, or take longest: begun first, they end beside the others and not after them. */
const FIRST = [
  'e2e/src/minute-timers.test.ts',
  'e2e/src/chaos/chaos.test.ts',
  'e2e/src/restarts.test.ts',
  'e2e/src/snapshots.test.ts',
]

/**
 * vitest's own order, save that the files above come first, a fresh clone having no times of earlier runs to go by,
 * and that files of one workspace follow each other: a worker goes on with what it has loaded only if the next file is
 * of the same.
 */
export class FileOrder extends BaseSequencer {
  async sort(files) {
    const sorted = (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
    const projects = [...new Set(sorted.map(({ project }) => project))]
    return projects.flatMap((project) => sorted.filter((file) => file.project === project))
  }
}

function rank({ moduleId }) {
  const place = FIRST.findIndex((path) => moduleId.endsWith(path))
  return place === -1 ? FIRST.length : place
}
