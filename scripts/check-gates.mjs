// Checks that each gate can fail: plants one violation after another in a scratch copy of the tree's frame and expects
// the gate to report each. Exits 1 and names the gates that missed one.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findViolations } from './check-source.mjs'
import { biomeViolations, boundaryViolations, sourceViolations, typeViolations } from './planted-violations.mjs'

const COMMAND_DEADLINE_MS = 60_000
const root = dirname(import.meta.dirname)
const failures = []
let caught = 0

checkBiome()
checkTypes()
checkBoundaries()
checkSource()
for (const failure of failures) console.error(`not caught: ${failure}`)
console.log(`${caught} planted violations caught, ${failures.length} let through`)
process.exit(failures.length > 0 ? 1 : 0)

function checkBiome() {
  // One scratch project holds all violations, each in a folder of its own, so that one run lints them.
  inScratch((scratch) => {
    copyFrame(scratch, ['biome.json', '.gitignore'])
    run(scratch, 'git', ['init', '--quiet'])
    biomeViolations.forEach((violation, index) => {
      for (const [path, source] of Object.entries({ [violation.path]: violation.source, ...violation.also })) {
        write(scratch, plantedPath(path, index), source)
      }
    })
    const { diagnostics } = JSON.parse(
      run(scratch, 'biome', ['check', '--max-diagnostics=none', '--reporter=json', '.']).stdout,
    )
    biomeViolations.forEach((violation, index) => {
      const where = plantedPath(violation.path, index)
      const hit = diagnostics.some(
        (d) => d.category === violation.expects && JSON.stringify(d.location).includes(where),
      )
      record(hit, `biome ${violation.expects} in ${violation.path}`)
    })
  })
}

/** `apps/api/src/a.ts` becomes `apps/api/src/case-3/a.ts`: the globs of biome's overrides still match. */
function plantedPath(path, index) {
  return path.replace('/src/', `/src/case-${index}/`)
}

function checkTypes() {
  inScratch((scratch) => {
    copyFrame(scratch, ['tsconfig.base.json'])
    symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'))
    write(scratch, 'app/tsconfig.json', '{ "extends": "../tsconfig.base.json", "include": ["."] }')
    typeViolations.forEach((violation, index) => {
      write(scratch, `app/case-${index}.ts`, violation.source)
    })
    const { stdout } = run(scratch, 'tsc', ['-p', 'app', '--pretty', 'false'])
    typeViolations.forEach((violation, index) => {
      const hit = new RegExp(`case-${index}\\.ts.*${violation.expects}`).test(stdout)
      record(hit, `tsc ${violation.expects}`)
    })
  })
}

function checkBoundaries() {
  for (const { what, from, to, undeclared } of boundaryViolations) {
    inScratch((scratch) => {
      copyFrame(scratch, ['package.json', 'pnpm-workspace.yaml', 'pnpm-lock.yaml', 'turbo.json'])
      for (const folder of workspaces()) {
        for (const file of ['package.json', 'turbo.json']) cpSync(join(root, folder, file), join(scratch, folder, file))
      }
      run(scratch, 'git', ['init', '--quiet'])
      const clean = run(scratch, 'turbo', ['boundaries'])
      if (clean.status !== 0)
        throw new Error(`turbo boundaries fails on the clean frame:\n${clean.stdout}${clean.stderr}`)
      write(scratch, `${from}/src/planted.ts`, `import { a } from '${to}'\nexport const b = a\n`)
      if (!undeclared) declare(join(scratch, from, 'package.json'), to)
      record(run(scratch, 'turbo', ['boundaries']).status !== 0, `turbo boundaries: ${what}`)
    })
  }
}

function checkSource() {
  for (const { expects, path, source, also } of sourceViolations) {
    inScratch((scratch) => {
      const files = Object.entries({ [path]: source, ...also })
      for (const [file, text] of files) write(scratch, file, text)
      const found = findViolations(
        scratch,
        files.map(([file]) => file),
      )
      record(
        found.some((line) => line.includes(expects)),
        `check-source: ${expects}`,
      )
    })
  }
}

function record(hit, name) {
  if (hit) caught += 1
  else failures.push(name)
}

function workspaces() {
  const nested = ['apps', 'packages'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => `${parent}/${name}`),
  )
  return [...nested, 'e2e', 'bench'].filter((folder) => existsSync(join(root, folder, 'package.json')))
}

function declare(manifestPath, dependency) {
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'))
  manifest.dependencies = { ...manifest.dependencies, [dependency]: 'workspace:*' }
  writeFileSync(manifestPath, JSON.stringify(manifest))
}

function copyFrame(scratch, files) {
  for (const file of files) cpSync(join(root, file), join(scratch, file))
}

function write(scratch, path, source) {
  mkdirSync(dirname(join(scratch, path)), { recursive: true })
  writeFileSync(join(scratch, path), source)
}

function run(cwd, command, args) {
  const env = {
    ...process.env,
    PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
    TURBO_TELEMETRY_DISABLED: '1',
  }
  const result = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: COMMAND_DEADLINE_MS,
    maxBuffer: 64 * 1024 * 1024,
  })
  if (result.error) throw result.error
  return result
}

function inScratch(use) {
  const scratch = mkdtempSync(join(tmpdir(), 'atoll-gates-'))
  try {
    use(scratch)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
