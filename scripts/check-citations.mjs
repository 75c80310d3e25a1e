// Checks citations by number: a cited section of the contract must exist, and a test must cite each invariant.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The page whose sections are cited as `§7` and `§20.3`. */
const CONTRACT = 'docs/spec/daytona-contract.md'
const HEADING = /^#{2,3} (\d+(?:\.\d+)?)\.? /gm
/** One section, or the first and the last of several. */
const SECTION = /§(\d+(?:\.\d+)?)(?:[–-](\d+(?:\.\d+)?))?/g

const SPEC = /^docs\/spec\/[^/]+\.md$/
const INVARIANT = /\*\*([A-Z]+\d+[a-z]?)\*\*/g
const TEST = /(\.test|conformance)\.ts$/

/** Returns every broken citation below `root`, as `path:line: what`. `files` are relative to it. */
export function findBrokenCitations(root, files) {
  const read = (file) => readFileSync(join(root, file), 'utf8')
  return [...findMissingSections(files, read), ...findUntestedInvariants(files, read)]
}

function findMissingSections(files, read) {
  const headings = new Set(
    files.includes(CONTRACT) ? [...read(CONTRACT).matchAll(HEADING)].map(([, number]) => number) : [],
  )
  return files.flatMap((file) =>
    inLines(read(file), SECTION).flatMap(({ line, match: [, ...numbers] }) =>
      numbers
        .filter((number) => number !== undefined && !headings.has(number))
        .map((number) => `${file}:${line}: the contract has no section ${number}`),
    ),
  )
}

/** Returns the invariants that no test cites. Two pages may use the same number; a test that cites it counts for both. */
function findUntestedInvariants(files, read) {
  const tests = files
    .filter((file) => TEST.test(file))
    .map(read)
    .join('\n')
  return files
    .filter((file) => SPEC.test(file))
    .flatMap((file) =>
      inLines(read(file), INVARIANT)
        // A number in an encoded byte, such as %A4, is no citation.
        .filter(({ match: [, number] }) => !new RegExp(`(?<![%\\w])${number}\\b`).test(tests))
        .map(({ line, match: [, number] }) => `${file}:${line}: no test cites the invariant ${number}`),
    )
}

function inLines(text, pattern) {
  return text
    .split('\n')
    .flatMap((content, index) => [...content.matchAll(pattern)].map((match) => ({ line: index + 1, match })))
}
