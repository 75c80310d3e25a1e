import { constants } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import type { TextMatch, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../../call.ts'
import { StreamReply } from '../../call.ts'
import { cpuLimit } from '../../cgroup.ts'
import type { FeatureParts } from '../../feature.ts'
import { errnoOf, fsError } from '../fs-error.ts'
import { JSON_HEADERS, jsonArray } from '../json-array.ts'
import { createFinder } from '../literal.ts'
import { shown, tidyPath } from '../walk-tree.ts'
import { findGrep, runGrep } from './run-grep.ts'
import { findRipgrep, runRipgrep } from './run-ripgrep.ts'
import type { Scan } from './scan-file.ts'
import { scanFile } from './scan-file.ts'
import { scanBuffer, scanFiles, scanTree } from './scan-tree.ts'
import type { EngineSearch } from './search-engine.ts'
import { canLookFor, EngineError } from './search-engine.ts'
import type { SearchLife } from './search-life.ts'
import type { LineMatch } from './text-match.ts'
import { MAX_MATCHES, showLine } from './text-match.ts'

const NEWLINE = 0x0a
const SEVERAL_CORES = 2

interface TextSearch {
  /** A path in Latin1, one character a byte. */
  start: string
  isFolder: boolean
  /** The text to find. */
  text: Buffer
  env: Readonly<Record<string, string>>
  signal: AbortSignal
}

/**
 * Finds a literal text in a file, or in all regular files below a folder, and streams the lines that contain it as they
 * are found. Binary and unreadable files are left out. Links below the folder are not followed, but `path` may be a link.
 * Ripgrep or GNU grep searches where the PATH of commands has them, else Node does.
 */
export function createFindText(
  { work, commandEnv }: Pick<FeatureParts, 'work' | 'commandEnv'>,
  life: SearchLife,
): Handler<ToolboxOperations['findInFiles']> {
  return async ({ queryBytes, signal }) => {
    const given = queryBytes('path')
    const text = queryBytes('pattern')
    const start = work.resolve(given)
    const about = await look(start, given)
    const found = life.run(signal, (stop) => find({ ...about, text, env: commandEnv, signal: stop }))
    return new StreamReply({
      status: 200,
      headers: { ...JSON_HEADERS, 'x-result-limit': String(MAX_MATCHES) },
      body: jsonArray(asAnswered(found, given)),
    })
  }
}

/** Throws, before the answer begins, if the path cannot be searched. */
async function look(start: Buffer, given: Buffer): Promise<{ start: string; isFolder: boolean }> {
  try {
    await using file = await open(start, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await file.stat()
    if (stats.isDirectory()) return { start: tidyPath(start), isFolder: true }
    if (!stats.isFile()) throw new AppError('INVALID_FILE_PATH', `not a regular file or a folder: ${given}`)
    return { start: tidyPath(start), isFolder: false }
  } catch (error) {
    throw fsError(error, given, 'FILE_READ_FAILED')
  }
}

async function* asAnswered(found: AsyncIterable<LineMatch[]>, given: Buffer): AsyncGenerator<TextMatch[]> {
  let room = MAX_MATCHES
  try {
    for await (const matches of found) {
      yield matches.slice(0, room).map(({ path, line, content }) => ({ file: shown(path), line, content }))
      room -= matches.length
      if (room <= 0) return
    }
  } catch (error) {
    throw fsError(error, given, 'FILE_READ_FAILED')
  }
}

async function* find(search: TextSearch): AsyncGenerator<LineMatch[]> {
  const { start, text, signal } = search
  // No line contains a newline.
  if (text.includes(NEWLINE)) return
  const finder = createFinder(text)
  if (!search.isFolder) {
    yield* scanNamedFile(search)
    return
  }
  const told = new Map<string, number>()
  for (const engine of canLookFor(text) ? await enginesFor(search) : []) {
    try {
      yield* engine(told)
      return
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      // The engine met a line too long for its memory, is another program of that name, or has no shell: the next goes on.
    }
  }
  yield* scanTree({ start, finder, signal, told })
}

/** Finds all lines but those reported already. Throws EngineError after the lines it has found. */
type Engine = (told: Map<string, number>) => AsyncGenerator<LineMatch[]>

/**
 * Returns the available engines, the quickest first. On one core that is GNU grep, which needs fewer calls to the kernel
 * for a small file; on several it is ripgrep, which uses them all.
 */
async function enginesFor(search: TextSearch): Promise<Engine[]> {
  const { start, env } = search
  // grep cannot leave out /proc alone, so it does not search `/`.
  const grep = start === '/' ? undefined : await findGrep(env['PATH'])
  const ripgrep = await findRipgrep(env['PATH'])
  const engines = [
    ...(ripgrep === undefined ? [] : [(told: Map<string, number>) => withRipgrep(search, { program: ripgrep, told })]),
    ...(grep === undefined ? [] : [(told: Map<string, number>) => withGrep(search, { program: grep, told })]),
  ]
  return engines.length > 1 && (await cpuLimit()) < SEVERAL_CORES ? engines.reverse() : engines
}

async function* scanNamedFile({ start, text, signal }: TextSearch): AsyncGenerator<LineMatch[]> {
  const finder = createFinder(text)
  const path = await realpath(Buffer.from(start, 'latin1'), 'latin1')
  for await (const matches of scanFile({ path, finder, buffer: scanBuffer(finder), signal })) {
    yield matches.map((match) => ({ ...match, path: start }))
  }
}

async function* withRipgrep(
  { start, text, env, signal }: TextSearch,
  { program, told }: { program: string; told: Map<string, number> },
): AsyncGenerator<LineMatch[]> {
  const prefix = prefixOf(start)
  const finder = createFinder(text)
  const buffer = scanBuffer(finder)
  const search: EngineSearch = { program, env, folder: start, text: text.toString(), signal }
  for await (const events of runRipgrep(search)) {
    const matches: LineMatch[] = []
    for (const event of events) {
      const path = prefix + event.path
      if (event.line !== undefined) {
        if (event.line <= (told.get(path) ?? 0)) continue
        told.set(path, event.line)
        matches.push({ path, line: event.line, content: showLine(event.start) })
        continue
      }
      // Ripgrep takes the file for binary; here only a NUL near the beginning makes it binary.
      const after = told.get(path) ?? 0
      told.set(path, Number.POSITIVE_INFINITY)
      yield* scanUnlessGone({ path, finder, buffer, signal, after })
    }
    if (matches.length > 0) yield matches
  }
}

/** Finds the files with grep; their lines, and which of the files are binary, are found as by Node alone. */
async function* withGrep(
  { start, text, env, signal }: TextSearch,
  { program, told }: { program: string; told: Map<string, number> },
): AsyncGenerator<LineMatch[]> {
  const search: EngineSearch = { program, env, folder: start, text: text.toString(), signal }
  let failure: EngineError | undefined
  async function* found(): AsyncGenerator<string[]> {
    try {
      for await (const names of runGrep(search)) yield names.map((name) => prefixOf(start) + name)
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      // The error is thrown only after the lines of the files found until then.
      failure = error
    }
  }
  yield* scanFiles({ files: found(), finder: createFinder(text), signal, told })
  if (failure !== undefined) throw failure
}

function prefixOf(folder: string): string {
  return folder === '/' ? '/' : `${folder}/`
}

async function* scanUnlessGone(scan: Scan): AsyncGenerator<LineMatch[]> {
  try {
    yield* scanFile(scan)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
  }
}
