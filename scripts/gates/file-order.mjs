import { BaseSequencer } from 'vitest/node'

/** Files that mostly wait, or take longest: they start first, so that they run beside the others and not after them. */
const FIRST = [
  'e2e/src/minute-timers.test.ts',
  'e2e/src/chaos/chaos.test.ts',
  'e2e/src/restarts.test.ts',
  'e2e/src/snapshots.test.ts',
]

/**
 * vitest's own order with two changes. The files above come first, because a fresh clone has no times of earlier runs.
 * Files of one workspace follow each other, because a worker keeps its loaded modules only for the same workspace.
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
