import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { CommandError, runCommand } from '../setup/run-command.mjs'
import { root, toolEnvironment } from '../setup/workspace.mjs'

const TESTS_DEADLINE_MS = 30 * 60_000
/** Most failed files that are run again: more are unlikely to come from a busy machine. */
const MAX_FILES_AGAIN = 5

/**
 * Runs vitest on the projects that `filter` names, in this terminal, and returns { passed, failed, skipped, flaky }. In CI
 * the failed files run once more by themselves, because a test with real processes can fail on a busy machine. `flaky` are
 * the files that passed only then, to be named and fixed; outside CI they fail.
 */
export async function runVitest(filter) {
  const report = await runOnce(filter)
  const failed = report.files.filter((file) => file.failed > 0)
  const isRunAgain = process.env.CI === 'true' && failed.length > 0 && failed.length <= MAX_FILES_AGAIN
  if (!isRunAgain || report.elsewhere > 0) return total(report, [])
  const paths = failed.map(({ path }) => path)
  console.log(`\n── once more:${paths.map((path) => ` ${relative(root, path)}`).join('')}`)
  const again = await runOnce(filter, paths)
  const files = [...report.files.filter((file) => file.failed === 0), ...again.files]
  const passed = again.files.filter((file) => file.failed === 0).map(({ path }) => path)
  return total({ files, elsewhere: again.elsewhere }, passed)
}

function total({ files, elsewhere }, flaky) {
  return {
    passed: files.reduce((sum, { passed }) => sum + passed, 0),
    failed: files.reduce((sum, { failed }) => sum + failed, elsewhere),
    skipped: files.flatMap(({ skipped }) => skipped),
    flaky: flaky.map((path) => relative(root, path)),
  }
}

/** Runs vitest once. A run that breaks off, or fails in a way that no file shows, counts as an error `elsewhere`. */
async function runOnce(filter, paths = []) {
  const folder = mkdtempSync(join(tmpdir(), 'atoll-test-'))
  const reportFile = join(folder, 'report.json')
  const words = ['vitest', 'run', ...paths, '--config', 'vitest.workspace.ts', '--project', filter]
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
  if (!ok && report.files.every(({ failed }) => failed === 0)) report.elsewhere = Math.max(1, report.elsewhere)
  return report
}

/** Returns the environment without the settings of the developer's own Atoll, which must not reach the tested ones. */
function testEnvironment() {
  const own = Object.entries(toolEnvironment()).filter(([name]) => !/^(ATOLL_|DAYTONA_|DATABASE_URL$)/.test(name))
  return Object.fromEntries(own)
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    // vitest ended before it wrote the report.
    return { files: [], elsewhere: 1 }
  }
}
