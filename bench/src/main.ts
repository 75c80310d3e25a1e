import { dirname, join } from 'node:path'
import { startAtoll } from '@atoll/dev-env'
import type { BenchSection } from './bench-section.ts'
import { benchCreate } from './create-section.ts'
import { benchCreateMany } from './create100-section.ts'
import { benchDensity } from './density-section.ts'
import { findDockerEngine } from './docker-engine.ts'
import { benchExec } from './exec-section.ts'
import { benchFollow } from './follow-section.ts'
import { benchFork } from './fork-section.ts'
import { benchKeystrokes } from './keystroke-section.ts'
import { createLifeClient } from './life-client.ts'
import { benchLists } from './lists-section.ts'
import { benchMemory } from './memory-section.ts'
import { describeMachine, formatSection, writeResults } from './report.ts'
import { benchSearch } from './search-section.ts'
import { benchStopStart } from './stop-start-section.ts'
import { createSystemClient } from './system.ts'
import { benchToolbox } from './toolbox-section.ts'
import { benchTransfer } from './transfer-section.ts'
import { benchTunnel } from './tunnel-benchmark.ts'

const checkout = dirname(dirname(import.meta.dirname))
const resultsFile = join(checkout, 'bench/results/latest.json')
const systemSections = [
  ...['exec', 'follow', 'keystrokes', 'create', 'create100', 'stopstart', 'fork'],
  ...['search', 'toolbox', 'transfer', 'memory', 'lists'],
]
const sectionNames = ['tunnel', 'density', ...systemSections]
const sections: BenchSection[] = []
/** `npm run bench -- exec` measures only that section, `-- tunnel upload` only the tunnel's rows with upload in their name. */
const chosen = process.argv.slice(2)

console.log(`${describeMachine()}\n`)
const rows = chosen.filter((word) => !sectionNames.includes(word))
await measure('tunnel', () => benchTunnel(rows))
// The density section runs only if it is named: it takes minutes, and 10 GB of memory.
if (chosen.includes('density')) await measure('density', () => benchDensity(checkout))
if (chosen.length === 0 || systemSections.some((name) => chosen.includes(name))) await withSystem()
writeResults(resultsFile, sections)
console.log(`Written to ${resultsFile}`)
const missed = sections.flatMap(({ rows }) => rows.filter((row) => row.ok === false))
if (missed.length > 0) console.log(`${missed.length} missed: ${missed.map((row) => row.name).join(', ')}`)
process.exit(0)

async function measure(name: string, run: () => Promise<BenchSection>): Promise<void> {
  if (chosen.length > 0 && !chosen.includes(name)) return
  const section = await run()
  sections.push(section)
  console.log(formatSection(section))
}

async function withSystem(): Promise<void> {
  // Without a warm pool, so that a whole create is measured; some sections start a system with a pool of their own.
  const atoll = await startAtoll({ checkout, env: { ATOLL_WARM_POOL_MAX: '0' } })
  const client = createSystemClient(atoll)
  const life = createLifeClient(atoll, client)
  const engine = await findDockerEngine()
  try {
    await measure('exec', () => benchExec(client, engine))
    await measure('follow', () => benchFollow(atoll, client))
    await measure('keystrokes', () => benchKeystrokes(atoll, client))
    await measure('create', () => benchCreate(checkout, life, engine))
    await measure('create100', () => benchCreateMany(checkout, life, engine))
    await measure('stopstart', () => benchStopStart(life, engine))
    await measure('fork', () => benchFork(life, engine))
    await measure('search', () => benchSearch(client))
    await measure('toolbox', () => benchToolbox(checkout, client))
    // The transfer section runs only if it is named: it writes 10 GiB.
    if (chosen.includes('transfer')) await measure('transfer', () => benchTransfer(atoll, client))
    await measure('memory', () => benchMemory(atoll, client))
    // The lists section is the last, because it leaves a full database.
    await measure('lists', () => benchLists(atoll, client))
  } finally {
    await engine?.[Symbol.asyncDispose]()
    client.close()
    await atoll[Symbol.asyncDispose]()
  }
}
