// `npm run bench`: sets up, bundles the benchmark and runs it. Words after `--` pick sections by name.
import './setup/node-version.mjs'

import('./setup/set-up.mjs').then(bench).catch((error) => {
  console.error(error.name === 'SetUpError' ? error.message : error)
  process.exit(1)
})

async function bench({ setUp }) {
  const { endOnSignals } = await import('./setup/run-command.mjs')
  const leaveSignals = endOnSignals()
  await setUp({ purpose: 'run' })
  await bundleBench(new URL('../bench/', import.meta.url).pathname)
  leaveSignals()
  // The benchmark runs in this process, as in start.mjs.
  await import('../bench/dist/main.js')
}

/** Bundles every file as an entry point: parts of the benchmark run in processes of their own. */
async function bundleBench(folder) {
  const { bundle } = await import('./setup/bundle.mjs')
  const { readdirSync, rmSync } = await import('node:fs')
  const sources = readdirSync(`${folder}src`).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  rmSync(`${folder}dist`, { recursive: true, force: true })
  await bundle({ entryPoints: sources.map((name) => `${folder}src/${name}`), outdir: `${folder}dist` })
}
