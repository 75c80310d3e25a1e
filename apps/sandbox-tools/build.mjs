// Copies the files that run of the packages in package.json to dist/: real files, flat, without maps, documentation, other
// platforms' binaries and messages in other languages. dist/hash is the hash of all of them.
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** Programs that Node runs, with their packages. `ownOptions`: the program ignores NODE_OPTIONS, as it runs no user code. */
const NODE_PROGRAMS = [
  { name: 'ts-node', from: 'ts-node', ownOptions: false },
  { name: 'tsc', from: 'typescript', ownOptions: true },
  { name: 'typescript-language-server', from: 'typescript-language-server', ownOptions: true },
  { name: 'pyright', from: 'pyright', ownOptions: true },
  { name: 'pyright-langserver', from: 'pyright', ownOptions: true },
]
const RIPGREP = '@vscode/ripgrep'
const RIPGREP_PLATFORM = `${RIPGREP}-linux-${process.arch}`

/** The script of a program. Without the injected Node, as in tests, it uses the Node on the PATH. */
const PROGRAM = `#!/bin/sh
here=\${0%/*}
node=$here/../../bin/node
[ -x "$node" ] || node=node
BEFORE
exec "$node" "$here/../SCRIPT" "$@"
`
/** Sets the compiler of ts-node, because the one in the user's folder may be one that ts-node cannot load. */
const TS_NODE_COMPILER = `: "\${TS_NODE_COMPILER=$here/../node_modules/typescript}"
export TS_NODE_COMPILER
`

/** Packages whose declarations are kept. Only a compiler reads declarations: its own and those of Node's modules. */
const KEEPS_DECLARATIONS = /^(@types\/node|undici-types)$/
const LEFT_OUT = [
  /\.(map|md|markdown|tsbuildinfo)$/i,
  /(^|\/)(node_modules|tests?|benchmarks?|docs?|examples?|\.github)\//,
  /(^|\/)(\.[^/]*|CHANGELOG[^/]*)$/i,
]
/** Declarations of Python modules, kept whatever their names are. */
const KEPT_WHOLE = /^dist\/typeshed-fallback\//
const LEFT_OUT_OF_TYPESCRIPT = /^lib\/([a-z]{2}(-[a-z]{2})?\/|(typescript|tsserverlibrary)\.(d\.ts|js)$)/i

const dist = 'dist'
rmSync(dist, { recursive: true, force: true })
const packages = closure(Object.keys(readManifest('.').dependencies))
for (const [name, folder] of packages) if (!name.startsWith(RIPGREP)) copyPackage(name, folder)
copyRipgrep(packages.get(RIPGREP_PLATFORM))
writePrograms()
writeFileSync(join(dist, 'hash'), hashTree(dist))

/** Returns the folder of every package that is needed, by name. Throws if one is needed in two versions: dist/ is flat. */
function closure(names) {
  const found = new Map()
  const pending = names.map((name) => ({ name, from: process.cwd(), isOptional: false }))
  for (const { name, from, isOptional } of pending) {
    const folder = findPackage(name, from)
    if (folder === undefined && !isOptional) throw new Error(`${name} is not installed`)
    if (found.has(name) && found.get(name) !== folder) throw new Error(`${name} is needed in two versions`)
    if (folder === undefined || found.has(name)) continue
    found.set(name, folder)
    pending.push(...needsOf(folder))
  }
  return found
}

function needsOf(folder) {
  const { dependencies = {}, optionalDependencies = {} } = readManifest(folder)
  const needs = (names, isOptional) => names.map((name) => ({ name, from: folder, isOptional }))
  return [...needs(Object.keys(dependencies), false), ...needs(Object.keys(optionalDependencies), true)]
}

function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

/** Finds a package as Node does: in node_modules of each folder above. */
function findPackage(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate)
    if (folder === dirname(folder)) return undefined
  }
}

function copyPackage(name, folder) {
  for (const path of filesBelow(folder)) {
    if (!KEPT_WHOLE.test(path) && LEFT_OUT.some((pattern) => pattern.test(path))) continue
    if (name === 'typescript' && LEFT_OUT_OF_TYPESCRIPT.test(path) && path !== 'lib/typescript.js') continue
    const isDeclaration = /\.d\.[cm]?ts$/.test(path)
    if (isDeclaration && !KEEPS_DECLARATIONS.test(name) && !/^lib\/lib\./.test(path)) continue
    copy(join(folder, path), join(dist, 'node_modules', name, path), 0o644)
  }
}

function copyRipgrep(folder) {
  if (folder === undefined) throw new Error(`${RIPGREP_PLATFORM} is not installed`)
  copy(join(folder, 'bin/rg'), join(dist, 'bin/rg'), 0o755)
  copy(join(folder, 'LICENSE'), join(dist, 'node_modules', RIPGREP, 'LICENSE'), 0o644)
}

function writePrograms() {
  for (const { name, from, ownOptions } of NODE_PROGRAMS) {
    const { bin } = readManifest(packages.get(from))
    const script = join('node_modules', from, typeof bin === 'string' ? bin : bin[name])
    if (!existsSync(join(dist, script))) throw new Error(`${script} is not there`)
    const before = name === 'ts-node' ? TS_NODE_COMPILER : ownOptions ? 'unset NODE_OPTIONS\n' : ''
    write(join(dist, 'bin', name), PROGRAM.replace('BEFORE\n', before).replace('SCRIPT', script))
  }
  const names = [...NODE_PROGRAMS.map((one) => one.name), 'rg']
  write(join(dist, 'first/npx'), readFileSync('npx.sh', 'utf8').replaceAll('@NAMES@', names.join('|')))
}

function write(path, text) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, 0o755)
}

function copy(from, to, mode) {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, to)
  chmodSync(to, mode)
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

function hashTree(folder) {
  const hash = createHash('sha256')
  for (const path of filesBelow(folder)) {
    const content = readFileSync(join(folder, path))
    hash.update(`${path}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex').slice(0, 16)
}
