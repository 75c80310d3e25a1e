import { writeFileSync } from 'node:fs'

/**
 * Writes { files: [{ path, passed, failed, skipped }], elsewhere } to $TEST_REPORT_FILE; vitest's own JSON omits why a test
 * was skipped, and the file of an error that no test caught. `elsewhere` counts errors that belong to no file.
 */
// biome-ignore lint/style/noDefaultExport: vitest takes a reporter from a file's default export.
export default class CountReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const files = modules.map(countFile)
    let elsewhere = 0
    for (const { VITEST_TEST_PATH: path } of unhandledErrors) {
      const file = files.find((one) => one.path === path)
      if (file === undefined) elsewhere += 1
      else file.failed += 1
    }
    writeFileSync(process.env.TEST_REPORT_FILE, JSON.stringify({ files, elsewhere }))
  }
}

function countFile(module) {
  const file = { path: module.moduleId, passed: 0, failed: 0, skipped: [] }
  for (const test of module.children.allTests()) count(file, test)
  // A file that cannot be loaded, or whose set-up failed, may have no failed test.
  if (!module.ok() && file.failed === 0) file.failed = 1
  return file
}

function count(file, test) {
  const { state, note } = test.result()
  if (state === 'passed') file.passed += 1
  else if (state === 'failed') file.failed += 1
  else file.skipped.push({ name: `${test.project.name}: ${test.fullName}`, reason: note ?? 'its condition is not met' })
}
