import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommandError, runCommand } from '../setup/run-command.mjs'
import { root, toolEnvironment } from '../setup/workspace.mjs'

const TESTS_DEADLINE_MS = 30 * 60_000
/**
 * How often CI runs a failed test again. A test with real processes meets a machine's bad moments; one that needs a second
 * try is named at the end, to be mended. At a desk it fails.
 */
const CI_RETRIES = 1

/**
 * Runs vitest on the projects that `filter` names, in this terminal, and returns { passed, failed, skipped, flaky }.
 * A run that breaks off, or fails in a way that no test shows, counts as one failure.
 */
export async function runVitest(filter) {
  const folder = mkdtempSync(join(tmpdir(), 'atoll-test-'))
  const reportFile = join(folder, 'report.json')
  const words = ['vitest', 'run', '--config', 'vitest.workspace.ts', '--project', filter]
  if (process.env.CI === 'true') words.push(`--retry=${CI_RETRIES}`)
  const reporters = ['--reporter=default', `--reporter=${join(import.meta.dirname, 'count-reporter.mjs')}`]
  let ok = true
  try {
    await runCommand([...words, ...reporters], {
      cwd: root,
      env: { ...testEnvironment(), TEST_REPORT_FILE: reportFile },
      visible: true,
      deadlineMs: TESTS_DEADLINE_MS,
    })
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    ok = false
  }
  const report = readReport(reportFile)
  rmSync(folder, { recursive: true, force: true })
  if (!ok && report.failed === 0) report.failed = 1
  return report
}

/** Settings of the person's own Atoll must not reach the ones under test. */
function testEnvironment() {
  const own = Object.entries(toolEnvironment()).filter(([name]) => !/^(ATOLL_|DAYTONA_|DATABASE_URL$)/.test(name))
  return Object.fromEntries(own)
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    // vitest ended before it could report anything.
    return { passed: 0, failed: 1, skipped: [], flaky: [] }
  }
}
