import { join } from 'node:path'
import { CommandError, endOnSignals, runCommand } from '../setup/run-command.mjs'
import { canRunSandboxes, SetUpError, setUp } from '../setup/set-up.mjs'
import { root, toolEnvironment } from '../setup/workspace.mjs'
import { runVitest } from './vitest.mjs'

const GATE_DEADLINE_MS = 10 * 60_000
const node = process.execPath

/** The gates that read the code without running it. All of them run, side by side, even if one fails. */
const STATIC_GATES = [
  { title: 'format and lint (biome)', words: ['biome', 'check', '--error-on-warnings', '.'] },
  { title: 'house rules that no linter has', words: [node, join(root, 'scripts/check-source.mjs')] },
  { title: 'import boundaries (turbo)', words: ['turbo', 'boundaries'] },
  { title: 'types (tsc)', words: ['turbo', 'run', 'typecheck', '--output-logs=errors-only'] },
  { title: 'planted violations: each gate must catch its own', words: [node, join(root, 'scripts/check-gates.mjs')] },
]
/** The suites that run the code; the second is of no use while the first fails. */
const SUITES = [
  { title: 'tests of every workspace (vitest)', filter: '!e2e' },
  { title: 'the whole system as a black box (vitest, e2e)', filter: 'e2e' },
]

/** Sets up, runs every gate and suite, and sets the exit status. */
export async function runGates() {
  endOnSignals()
  const startedAt = Date.now()
  const totals = { passed: 0, failed: 0, skipped: [], flaky: [], failedGates: [] }
  if (await stage('set-up', () => prepare())) await runAll(totals)
  else totals.failedGates.push('set-up')
  for (const { name, reason } of totals.skipped) console.log(`skipped: ${name} (${reason})`)
  for (const name of totals.flaky) console.log(`passed only when run again, to be mended: ${name}`)
  for (const title of totals.failedGates) console.log(`failed: ${title}`)
  console.log(`in ${seconds(startedAt)}`)
  const failed = totals.failed + totals.failedGates.length
  process.exitCode = failed === 0 && totals.passed > 0 ? 0 : 1
  console.log(`${totals.passed} passed, ${failed} failed, ${totals.skipped.length} skipped`)
}

async function runAll(totals) {
  totals.failedGates.push(...(await runStaticGates()))
  if (totals.failedGates.length > 0) return
  for (const { title, filter } of SUITES) {
    const ok = await stage(title, async () => {
      const report = await runVitest(filter)
      totals.passed += report.passed
      totals.failed += report.failed
      totals.skipped.push(...report.skipped)
      totals.flaky.push(...report.flaky)
      return report.failed === 0
    })
    if (!ok) return
  }
}

async function prepare() {
  let missing
  try {
    missing = await setUp({ purpose: 'test' })
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error
    console.log(error.message)
    return false
  }
  if (canRunSandboxes() && missing.length === 0) return true
  if (!canRunSandboxes()) console.log('Not root on Linux: the tests that make sandboxes are skipped.')
  // In CI missing packages, or not being root, fail the set-up: a run that skips these tests would pass unnoticed.
  return process.env.CI !== 'true'
}

/** Runs the static gates, prints each outcome as it comes, and returns the titles of those that failed. */
async function runStaticGates() {
  const failures = await Promise.all(
    STATIC_GATES.map(async ({ title, words }) => {
      const startedAt = Date.now()
      const complaint = await runStaticGate(words)
      console.log(`\n── ${title}`)
      if (complaint !== undefined) console.log(complaint)
      tellOutcome(complaint === undefined, startedAt)
      return complaint === undefined ? [] : [title]
    }),
  )
  return failures.flat()
}

/** Runs a gate; returns its output if it failed, undefined if it passed. */
async function runStaticGate(words) {
  try {
    await runCommand(words, { cwd: root, env: toolEnvironment(), deadlineMs: GATE_DEADLINE_MS })
    return undefined
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return error.output
  }
}

async function stage(title, run) {
  console.log(`\n── ${title}`)
  const startedAt = Date.now()
  const ok = await run()
  tellOutcome(ok, startedAt)
  return ok
}

function tellOutcome(ok, startedAt) {
  console.log(`   ${ok ? 'ok' : 'FAILED'} in ${seconds(startedAt)}`)
}

function seconds(sinceMs) {
  return `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`
}
