import { writeFileSync } from 'node:fs'

/**
 * Writes { passed, failed, skipped, flaky } to $TEST_REPORT_FILE; vitest's own JSON leaves out why a test was skipped, and
 * which passed only when run again.
 */
// biome-ignore lint/style/noDefaultExport: vitest takes a reporter from a file's default export.
export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const report = { passed: 0, failed: unhandledErrors.length, skipped: [], flaky: [] }
    for (const module of modules) {
      // A file that cannot be loaded has no test to fail.
      report.failed += module.errors().length
      for (const test of module.children.allTests()) count(report, test)
    }
    writeFileSync(process.env.TEST_REPORT_FILE, JSON.stringify(report))
  }
}

function count(report, test) {
  const { state, note } = test.result()
  if (test.diagnostic()?.flaky) report.flaky.push(nameOf(test))
  if (state === 'passed') report.passed += 1
  else if (state === 'failed') report.failed += 1
  else report.skipped.push({ name: nameOf(test), reason: note ?? 'its condition is not met' })
}

function nameOf(test) {
  return `${test.project.name}: ${test.fullName}`
}
