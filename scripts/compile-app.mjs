// An app that must start in an instant: one CommonJS script in dist/app.js, started by dist/main.js with the code that V8
// made of it here, in dist/app.cache. Another Node than this one, or one with other options, compiles it anew.
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const COMPILE_DEADLINE_MS = 30_000

/** For esbuild: a function of what Node gives a CommonJS module. */
export const scriptFormat = {
  format: 'cjs',
  define: { 'import.meta.url': '__url', 'import.meta.dirname': '__dirname' },
  banner: {
    js: "(function (exports, require, module, __filename, __dirname) { const __url = require('node:url').pathToFileURL(__filename).href;",
  },
  footer: { js: '})' },
}

/** Makes of dist/main.js what is described above; `warmUp` is the path of the module that has the app do something. */
export function compileApp(warmUp) {
  renameSync('dist/main.js', 'dist/app.js')
  copyFileSync(new URL('start-compiled.cjs', import.meta.url), 'dist/main.js')
  // Whatever the folders above say.
  writeFileSync('dist/package.json', '{ "type": "commonjs" }\n')
  // V8 takes nothing that was compiled under other options.
  const flags = existsSync('node-flags.json') ? JSON.parse(readFileSync('node-flags.json', 'utf8')) : []
  const writer = new URL('write-code-cache.cjs', import.meta.url).pathname
  execFileSync(process.execPath, [...flags, writer, resolve('dist'), resolve(warmUp)], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: COMPILE_DEADLINE_MS,
  })
}
