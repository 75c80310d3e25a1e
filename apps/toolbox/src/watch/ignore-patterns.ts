import { AppError, MAX_IGNORE_PATTERNS } from '@atoll/protocol'
import { compileGlob } from '../files/glob.ts'

/** Matches any number of segments. */
const ANY_DEPTH = '**'

type Segment = typeof ANY_DEPTH | ((name: string) => boolean)

/**
 * Compiles patterns separated by commas into a test of paths relative to the watched one. A pattern without a slash tests
 * base names, one with a slash whole paths, where `**` stands for any folders. Matching takes time in proportion to
 * pattern times path. Throws VALIDATION_FAILED.
 */
export function compileIgnore(patterns: string): (path: string) => boolean {
  const given = patterns.split(',').filter((pattern) => pattern !== '')
  if (given.length > MAX_IGNORE_PATTERNS) {
    throw new AppError('VALIDATION_FAILED', `ignore must not have more than ${MAX_IGNORE_PATTERNS} patterns`)
  }
  const tests = given.map(compileOne)
  return (path) => {
    const names = path.split('/')
    return tests.some((test) => test(names))
  }
}

function compileOne(pattern: string): (names: readonly string[]) => boolean {
  const parts = pattern.split('/').filter((part, index) => part !== '' && !(part === '.' && index === 0))
  const segments: Segment[] = parts.map((part) => (part === ANY_DEPTH ? ANY_DEPTH : compileGlob(part)))
  const [only] = segments
  if (!pattern.includes('/') && only !== undefined && only !== ANY_DEPTH) return (names) => only(names.at(-1) ?? '')
  return (names) => matches(segments, names)
}

/** Returns whether the names match. After a mismatch it tries the last `**` again, one segment further. */
function matches(segments: readonly Segment[], names: readonly string[]): boolean {
  let segment = 0
  let name = 0
  let retry: { segment: number; name: number } | undefined
  while (name < names.length) {
    const part = segments[segment]
    if (part === ANY_DEPTH) {
      segment += 1
      retry = { segment, name }
    } else if (part?.(names[name] ?? '')) {
      segment += 1
      name += 1
    } else {
      if (retry === undefined) return false
      retry = { segment: retry.segment, name: retry.name + 1 }
      segment = retry.segment
      name = retry.name
    }
  }
  // `build/**` matches `build` itself as well.
  return segments.slice(segment).every((part) => part === ANY_DEPTH)
}
