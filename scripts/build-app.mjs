// Bundles the app in the working directory into dist/: one ES module for each entry point named in
// package.json ("atoll": { "entryPoints": [...], "bundle": "all" | "workspace" }). "workspace" (the default)
// inlines our own packages and leaves npm ones to node_modules; "all" inlines everything, for code that is
// carried to where there is no node_modules.
import { readFileSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
const { entryPoints = ['src/main.ts'], bundle = 'workspace' } = manifest.atoll ?? {}
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
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: bundle === 'all' ? false : 'linked',
  minify: bundle === 'all',
  keepNames: true,
  logLevel: 'warning',
  external:
    bundle === 'all' ? [] : [...npmDependencies(Object.keys(manifest.dependencies))].flatMap((n) => [n, `${n}/*`]),
  banner: {
    // CommonJS dependencies that were inlined ask for Node's own modules through require.
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
})
