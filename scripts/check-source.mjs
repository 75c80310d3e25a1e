// Checks house rules that no linter has: no mocked modules, no catch-all folders, no sleeps in tests, no broken citations.
// `node scripts/check-source.mjs [root]` prints each violation and exits 1 if there is one.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { findBrokenCitations } from './check-citations.mjs'

const CATCH_ALL_FOLDER = /(^|\/)(controllers|services|utils|helpers|types|shared|common)\//
const LISTED = ['*.ts', '*.mjs', '*.cjs', '*.sql', '*.md']
const TEXT_RULES = [
  { what: 'mocked module', files: /\.ts$/, pattern: /\bvi\.(mock|doMock|resetModules)\(/ },
  { what: 'sleep in a test', files: /\.test\.ts$/, pattern: /setTimeout\(\s*\w+\s*,\s*[\d_]{3,}\s*\)\s*\)/ },
]

/** Returns every violation below `root`, as `path:line what`. `files` are relative to it. */
export function findViolations(root, files) {
  const found = findBrokenCitations(root, files)
  for (const file of files) {
    if (CATCH_ALL_FOLDER.test(file)) found.push(`${file}: catch-all folder`)
    const rules = TEXT_RULES.filter((rule) => rule.files.test(file))
    if (rules.length === 0) continue
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .forEach((line, index) => {
        for (const rule of rules) if (rule.pattern.test(line)) found.push(`${file}:${index + 1}: ${rule.what}`)
      })
  }
  return found
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = process.argv[2] ?? process.cwd()
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', ...LISTED], {
    cwd: root,
    encoding: 'utf8',
  })
  const files = listed.split('\n').filter((file) => file !== '' && existsSync(join(root, file)))
  const violations = findViolations(root, files)
  for (const violation of violations) console.error(violation)
  if (violations.length > 0) process.exit(1)
  console.log(`no violation in ${files.length} files`)
}
