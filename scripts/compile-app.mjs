// Prepares an app that must start quickly: one CommonJS script in dist/app.js, which dist/main.js runs with the code that
// V8 compiled here, in dist/app.cache. Another version of Node, or other options, compile the script again.
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const COMPILE_DEADLINE_MS = 30_000

/** The format for esbuild: a function of the variables that Node gives a CommonJS module. */
export const scriptFormat = {
  format: 'cjs',
  define: { 'import.meta.url': '__url', 'import.meta.dirname': '__dirname' },
  banner: {
    js: "(function (exports, require, module, __filename, __dirname) { const __url = require('node:url').pathToFileURL(__filename).href;",
  },
  footer: { js: '})' },
}

/** Turns dist/main.js into the files described above; `warmUp` is the path of the module that exercises the app. */
export function compileApp(warmUp) {
  renameSync('dist/main.js', 'dist/app.js')
  copyFileSync(new URL('start-compiled.cjs', import.meta.url), 'dist/main.js')
  // Overrides the module type of the folders above.
  writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')
  // V8 rejects code that was compiled with other options.
  const flags = existsSync('node-flags.json') ? JSON.parse(readFileSync('node-flags.json', 'utf8')) : []
  const writer = new URL('write-code-cache.cjs', import.meta.url).pathname
  execFileSync(process.execPath, [...flags, writer, resolve('dist'), resolve(warmUp)], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: COMPILE_DEADLINE_MS,
  })
}
