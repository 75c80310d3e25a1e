import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import { FAULT_KINDS } from './fault-kinds.ts'
import { runChaos } from './run-chaos.ts'

/** Room for all that 50 workers leave, once the other runner is lost, by the resources that it is promised. Takes none until used. */
const DISK_GIB = 256

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    workers: { type: 'string', default: '50' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', multiple: true },
    quiet: { type: 'boolean', default: false },
  },
})
const minutes = Number(values.minutes)
const workers = Number(values.workers)
if (!(minutes > 0) || !Number.isInteger(workers) || workers < 1) {
  console.error('usage: npm run chaos -- [--minutes 10] [--workers 50] [--seed text] [--only "kill api"] [--quiet]')
  process.exit(2)
}
const unknown = values.only?.filter((kind) => !FAULT_KINDS.includes(kind)) ?? []
if (unknown.length > 0) {
  console.error(`no such fault: ${unknown.join(', ')}; there are ${FAULT_KINDS.join(', ')}`)
  process.exit(2)
}
console.log(`seed ${values.seed}`)
const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    console.log(`${name}: the storm ends, and what it leaves is looked at; once more ends this at once`)
    interrupted.abort()
  })
}
const begunAt = performance.now()
const { problems, page, explanation } = await runChaos({
  ...{ seed: values.seed, workers, stormMs: minutes * 60_000, slackMs: 60_000, settleMs: 180_000, diskGib: DISK_GIB },
  lostAfterS: 10,
  ...(values.only === undefined ? {} : { faults: values.only }),
  interrupted: interrupted.signal,
  checkout: dirname(dirname(import.meta.dirname)),
  say: (line) => {
    if (!values.quiet) console.log(`${((performance.now() - begunAt) / 1000).toFixed(1).padStart(7)} ${line}`)
  },
})
console.log(`\n${page}`)
for (const problem of problems) console.log(`- ${problem}`)
for (const line of explanation) console.log(line)
process.exit(problems.length === 0 ? 0 : 1)
