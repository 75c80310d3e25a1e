import type { BenchSection } from './bench-section.ts'
import { compareInTurn } from './measure.ts'
import type { SystemClient } from './system.ts'

const ROUNDS = 10
const FOLDERS = 1_000
const FILES_PER_FOLDER = 100
const TREE = '/tmp/search-tree'
const NEEDLE = 'needle_in_the_hay'
/** One file in this many holds the text. */
const NEEDLE_EVERY = 1_000
const MATCHES = (FOLDERS * FILES_PER_FOLDER) / NEEDLE_EVERY
/** The files have the size of source code: up to `MAX_LINES` lines, 4 KB on average. */
const LINE = 'export const value = compute(first, second)'
const MAX_LINES = 180
const SYSTEM_PATH = '/usr/bin:/bin'

const MAKE_TREE_SCRIPT = `
PATH=${SYSTEM_PATH}
mkdir -p $(seq -f ${TREE}/d%g ${FOLDERS})
awk 'BEGIN {
  for (d = 1; d <= ${FOLDERS}; d++) for (f = 1; f <= ${FILES_PER_FOLDER}; f++) {
    file = "${TREE}/d" d "/f" f
    lines = (d * 31 + f * 17) % ${MAX_LINES}
    for (l = 0; l <= lines; l++) print "${LINE}" > file
    if ((d * ${FILES_PER_FOLDER} + f) % ${NEEDLE_EVERY} == 7) print "${NEEDLE}" > file
    close(file)
  }
}'`

/**
 * Compares a content search over 100,000 files in a sandbox, as the client measures it, with `grep -rF` there: with the
 * search engine that the toolbox picks, and in a sandbox whose PATH has none.
 */
export async function benchSearch(client: SystemClient): Promise<BenchSection> {
  const usual = await prepare(client)
  const bare = await prepare(client, { PATH: '/nowhere' })
  const grep = `PATH=${SYSTEM_PATH} grep -rF ${NEEDLE} ${TREE}`
  const [yardstick, numbered, picked, alone] = await compareInTurn(ROUNDS, [
    { name: 'grep -rF by process/execute', run: () => client.execute(usual, grep) },
    { name: '… grep -rnF, for the line numbers', run: () => client.execute(usual, grep.replace('-rF', '-rnF')) },
    { name: 'files/find', run: () => find(client, usual) },
    { name: 'files/find by Node alone, where PATH has no engine', run: () => find(client, bare) },
  ])
  await Promise.all([client.deleteSandbox(usual), client.deleteSandbox(bare)])
  if (!yardstick || !numbered || !picked || !alone) throw new Error('nothing was measured')
  const ok = (picked.ratio ?? Number.NaN) <= 1
  return {
    title: `a text in ${FOLDERS * FILES_PER_FOLDER} files, ${MATCHES} of which hold it`,
    rows: [yardstick, numbered, { ...picked, target: '≤ 1 of grep', ok }, alone],
  }
}

async function prepare(client: SystemClient, env?: Record<string, string>): Promise<string> {
  const sandboxId = await client.createSandbox(env)
  await client.execute(sandboxId, MAKE_TREE_SCRIPT)
  return sandboxId
}

async function find(client: SystemClient, sandboxId: string): Promise<void> {
  const found = await client.get(sandboxId, `files/find?path=${TREE}&pattern=${NEEDLE}`)
  if (!Array.isArray(found) || found.length !== MATCHES) throw new Error('not every match was found')
}
