// `npm start`: from a fresh clone to a running system. Options after `--` go to `atoll up`.
import './setup/node-version.mjs'

/** The interval of checks whether npm still runs, in milliseconds. */
const PARENT_CHECK_MS = 250

import('./setup/set-up.mjs').then(start).catch((error) => {
  console.error(error.name === 'SetUpError' ? error.message : error)
  process.exit(1)
})

async function start({ setUp, canRunSandboxes }) {
  const { endOnSignals } = await import('./setup/run-command.mjs')
  if (!canRunSandboxes()) {
    console.error('Atoll makes sandboxes with namespaces, mounts and cgroups: run it as root, on Linux.')
    process.exit(1)
  }
  const leaveSignals = endOnSignals()
  await setUp({ purpose: 'run' })
  leaveSignals()
  endWithNpm()
  // The supervisor runs in this process, so that npm's signals and the exit status need no relay.
  const supervisor = new URL('../apps/cli/dist/main.js', import.meta.url)
  const options = process.argv.slice(2).filter((word) => word !== '--no-system-packages')
  process.argv = [process.execPath, supervisor.pathname, 'up', ...options]
  await import(supervisor)
}

/** Ends this process with npm. A killed npm sends no signal, and its processes would keep running unnoticed. */
function endWithNpm() {
  if (!process.env.npm_lifecycle_event) return
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM')
  }, PARENT_CHECK_MS).unref()
}
