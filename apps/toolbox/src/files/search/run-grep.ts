import { findProgram } from '../../find-program.ts'
import type { EngineSearch } from './search-engine.ts'
import { EngineError, runEngine } from './search-engine.ts'

const NUL = 0
/** The longest path below the folder. */
const MAX_NAME_BYTES = 8 * 1024
/** Runs only GNU grep: other programs of that name have other options, or lack those below. */
const IF_GNU = 'case "$("$0" --version 2>/dev/null)" in *"(GNU grep)"*) exec "$0" "$@";; esac; exit 127'

/** Returns the path of `grep` along a PATH, or undefined. */
export function findGrep(path = ''): Promise<string | undefined> {
  return findProgram('grep', path)
}

/**
 * Runs GNU grep over all regular files below a folder and yields the names of the files that contain the text, binary
 * ones too: Latin1, relative to the folder. Throws EngineError, after the names found until then, when the program is not
 * GNU's, could not start or did not end well. Throws the signal's reason.
 */
export async function* runGrep(search: EngineSearch): AsyncGenerator<string[]> {
  // LC_ALL=C makes grep compare bytes; older versions complain about GREP_OPTIONS unless it is empty.
  const env = { ...search.env, LC_ALL: 'C', GREP_OPTIONS: '' }
  // Each name is written as soon as it is found, so that its lines are looked for meanwhile.
  const args = ['-rlZaFs', '--line-buffered', '-e', search.text, '.']
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of runEngine({ ...search, env }, { script: IF_GNU, args })) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const end = bytes.lastIndexOf(NUL) + 1
    rest = bytes.subarray(end)
    if (rest.length > MAX_NAME_BYTES) throw new EngineError('an endless name')
    if (end > 0)
      yield bytes
        .toString('latin1', 0, end - 1)
        .split('\0')
        .map(inFolder)
  }
  if (rest.length > 0) throw new EngineError('ended in the middle of a name')
}

function inFolder(name: string): string {
  if (!name.startsWith('./')) throw new EngineError('a path outside of the folder')
  return name.slice(2)
}
