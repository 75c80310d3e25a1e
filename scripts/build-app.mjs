// Bundles the app in the working directory into dist/: one ES module for each entry point named in
// package.json ("atoll": { "entryPoints": [...], "bundle": "all" | "workspace" }). "workspace" (the default)
// inlines our own packages and leaves npm ones to node_modules; "all" inlines everything, for code that runs where
// there is no node_modules. "addons" ({ "pty.node": "<package>/<path>" }) are copied beside it; {platform} in their
// paths is replaced, such as by linux-x64. "compile" names a module whose warmUp() makes the app run the code that must
// be quick: dist/main.js then is a CommonJS program with the code that V8 compiled for that (compile-app.mjs).
import { copyFileSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import { compileApp, scriptFormat } from './compile-app.mjs'

const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
const { entryPoints = ['src/main.ts'], bundle = 'workspace', addons = {}, compile } = manifest.atoll ?? {}
const ownPackage = /^@atoll\//

function npmDependencies(names) {
  const found = new Set()
  for (const name of names) {
    if (!ownPackage.test(name)) {
      found.add(name)
      continue
    }
    const path = `../../packages/${name.replace(ownPackage, '')}/package.json`
    for (const dependency of npmDependencies(Object.keys(JSON.parse(readFileSync(path, 'utf8')).dependencies ?? {}))) {
      found.add(dependency)
    }
  }
  return found
}

rmSync('dist', { recursive: true, force: true })
await build({
  entryPoints,
  outdir: 'dist',
  outbase: 'src',
  bundle: true,
  platform: 'node',
  target: 'node20',
  sourcemap: bundle === 'all' ? false : 'linked',
  minify: bundle === 'all',
  keepNames: true,
  logLevel: 'warning',
  external:
    bundle === 'all' ? [] : [...npmDependencies(Object.keys(manifest.dependencies))].flatMap((n) => [n, `${n}/*`]),
  ...(compile === undefined ? moduleFormat() : scriptFormat),
})

function moduleFormat() {
  // Inlined CommonJS dependencies load Node's own modules with `require`.
  const js =
    "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);"
  return { format: 'esm', splitting: true, banner: { js } }
}

const requireFromSource = createRequire(join(realpathSync('src'), 'index.js'))
for (const [name, template] of Object.entries(addons)) {
  const path = template.replaceAll('{platform}', `${process.platform}-${process.arch}`)
  const packageName = path.split('/').slice(0, 2).join('/')
  try {
    const main = requireFromSource.resolve(packageName)
    const folder = main.slice(0, main.lastIndexOf(`/${packageName}/`) + packageName.length + 2)
    copyFileSync(join(folder, path.slice(packageName.length + 1)), join('dist', name))
  } catch (error) {
    // The package is optional and not on every machine: the feature that needs it reports that when it is called.
    console.warn(`${name} is left out: ${error.message.split('\n')[0]}`)
  }
}

if (compile !== undefined) compileApp(compile)
