// `npm run chaos`: sets up, bundles the chaos suite and runs it. Options after `--` go to the suite; see docs/chaos.md.
import './setup/node-version.mjs'

import('./setup/set-up.mjs').then(chaos).catch((error) => {
  console.error(error.name === 'SetUpError' ? error.message : error)
  process.exit(1)
})

async function chaos({ setUp, canRunSandboxes }) {
  if (!canRunSandboxes()) {
    console.error('The chaos suite makes sandboxes and a disk of its own: run it as root, on Linux.')
    process.exit(1)
  }
  const { endOnSignals } = await import('./setup/run-command.mjs')
  const { bundle } = await import('./setup/bundle.mjs')
  const leaveSignals = endOnSignals()
  await setUp({ purpose: 'run' })
  const folder = new URL('../e2e/', import.meta.url).pathname
  await bundle({ entryPoints: [`${folder}src/chaos/main.ts`], outdir: `${folder}dist` })
  leaveSignals()
  await import('../e2e/dist/main.js')
}
