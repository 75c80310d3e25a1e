import { findProgram } from '../find-program.ts'
import type { EngineSearch } from './search-engine.ts'
import { EngineError, runEngine } from './search-engine.ts'

const NUL = 0
/** A path below the folder. */
const MAX_NAME_BYTES = 8 * 1024
/** Others of that name have other options, or lack those below. */
const IF_GNU = 'case "$("$0" --version 2>/dev/null)" in *"(GNU grep)"*) exec "$0" "$@";; esac; exit 127'

/** Where `grep` lies along a PATH; undefined where it does not. */
export function findGrep(path = ''): Promise<string | undefined> {
  return findProgram('grep', path)
}

/**
 * Runs GNU grep over all regular files below a folder and gives the names of those that hold the text, binary ones too:
 * latin1, relative to the folder. Throws EngineError when it is not GNU's, could not start or did not end well, after
 * what it had found until then, and the signal's reason.
 */
export async function* runGrep(search: EngineSearch): AsyncGenerator<string[]> {
  // Bytes are bytes; and older ones complain of the variable.
  const env = { ...search.env, LC_ALL: 'C', GREP_OPTIONS: '' }
  // Each name as it is found: its lines are looked for meanwhile.
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
