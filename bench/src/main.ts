import { dirname, join } from 'node:path'
import { startAtoll } from '@atoll/dev-env'
import type { BenchSection } from './bench-section.ts'
import { benchCreate } from './create-section.ts'
import { findDockerEngine } from './docker-engine.ts'
import { benchExec } from './exec-section.ts'
import { benchMemory } from './memory-section.ts'
import { describeMachine, formatSection, writeResults } from './report.ts'
import { createSystemClient } from './system.ts'
import { benchTunnel } from './tunnel-benchmark.ts'

const checkout = dirname(dirname(import.meta.dirname))
const resultsFile = join(checkout, 'bench/results/latest.json')
const sections: BenchSection[] = []
/** `npm run bench -- exec` measures that alone. */
const chosen = process.argv.slice(2)

console.log(`${describeMachine()}\n`)
await measure('tunnel', benchTunnel)
if (chosen.length === 0 || chosen.some((name) => name !== 'tunnel')) await withSystem()
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
  const atoll = await startAtoll({ checkout })
  const client = createSystemClient(atoll)
  const engine = await findDockerEngine()
  try {
    await measure('exec', () => benchExec(client, engine))
    await measure('create', () => benchCreate(client, engine))
    await measure('memory', () => benchMemory(atoll, client))
  } finally {
    await engine?.[Symbol.asyncDispose]()
    client.close()
    await atoll[Symbol.asyncDispose]()
  }
}
