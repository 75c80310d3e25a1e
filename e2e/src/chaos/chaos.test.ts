import { dirname } from 'node:path'
import { expect, it } from 'vitest'
import { runChaos } from './run-chaos.ts'

/** Of the storm. What comes after it takes what the machine needs. */
const STORM_MS = 25_000
/** Ends a run that hangs where none of its own waits has a deadline. */
const TEST_MS = 600_000

const isRoot = process.getuid?.() === 0
const seed = String(Date.now() % 1_000_000)

it.runIf(isRoot)(
  'whatever is killed, stalled or full, no sandbox, file or call is lost, and nothing is left behind',
  async ({ onTestFailed }) => {
    const lines = [`seed ${seed}`]
    // After its deadline, too.
    onTestFailed(() => console.log(lines.join('\n')))
    const { problems, page, explanation } = await runChaos({
      ...{ seed, workers: 8, stormMs: STORM_MS, slackMs: 120_000, settleMs: 150_000, diskGib: 64 },
      lostAfterS: 5,
      checkout: dirname(dirname(dirname(import.meta.dirname))),
      say: (line) => lines.push(line),
    })
    console.log(page)
    lines.push(...explanation)
    expect(problems, `npm run chaos -- --minutes 1 --workers 8 --seed ${seed}`).toEqual([])
  },
  TEST_MS,
)
