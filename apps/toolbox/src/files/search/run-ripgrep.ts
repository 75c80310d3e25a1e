import { availableParallelism } from 'node:os'
import { findProgram } from '../../find-program.ts'
import type { RipgrepEvent } from './ripgrep-output.ts'
import { createRipgrepParser, RIPGREP_OUTPUT_ARGS } from './ripgrep-output.ts'
import type { EngineSearch } from './search-engine.ts'
import { EngineError, runEngine } from './search-engine.ts'
import { MAX_MATCHES } from './text-match.ts'

const MAX_THREADS = 4

/** Returns the path of `rg` along a PATH, or undefined. */
export function findRipgrep(path = ''): Promise<string | undefined> {
  return findProgram('rg', path)
}

/**
 * Runs ripgrep over all regular files below a folder, hidden and ignored ones included. Throws EngineError, after the
 * events found until then, when it could not start or did not end well. Throws the signal's reason.
 */
export async function* runRipgrep(search: EngineSearch): AsyncGenerator<RipgrepEvent[]> {
  const { folder, text } = search
  const args = [
    ...RIPGREP_OUTPUT_ARGS,
    '--no-config',
    '--no-messages',
    '--no-ignore',
    '--hidden',
    '--encoding=none',
    '--fixed-strings',
    `--max-count=${MAX_MATCHES}`,
    `--threads=${Math.min(availableParallelism(), MAX_THREADS)}`,
    ...(folder === '/' ? ['/proc', '/sys', '/dev'].map((name) => `--glob=!${name}`) : []),
    `--regexp=${text}`,
    './',
  ]
  const parser = createRipgrepParser()
  for await (const chunk of runEngine(search, { script: 'exec "$0" "$@"', args })) {
    const events = parser.push(chunk)
    if (events.length > 0) yield events
  }
  if (!parser.isBetween) throw new EngineError('ended in the middle of a line')
}
