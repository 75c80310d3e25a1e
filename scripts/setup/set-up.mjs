import { CommandError } from './run-command.mjs'
import { ensureSystemPackages } from './system-packages.mjs'
import { buildApps, installNpmPackages } from './workspace.mjs'

/** Thrown when a step of the set-up failed; its output has been shown. */
export class SetUpError extends Error {
  name = 'SetUpError'
}

/**
 * Does everything between `git clone` and a start: system packages, npm packages, the build. If a step fails, shows the
 * output of its command and throws SetUpError with one sentence. With `--no-system-packages` or
 * ATOLL_INSTALL_SYSTEM_PACKAGES=no it does not run apt-get. Returns the system packages that are missing.
 */
export async function setUp({ purpose, print = console.log }) {
  const refused = process.argv.includes('--no-system-packages') || process.env.ATOLL_INSTALL_SYSTEM_PACKAGES === 'no'
  const steps = [
    ['install system packages', () => ensureSystemPackages({ purpose, allowed: !refused, print })],
    ['install npm packages', () => installNpmPackages(print)],
    ['build', () => buildApps()],
  ]
  const results = []
  for (const [what, run] of steps) {
    try {
      results.push(await run())
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      console.error(error.output)
      throw new SetUpError(`Could not ${what}: ${error.message}`)
    }
  }
  return results[0]
}

/** Returns whether this process is root on Linux: the oci driver makes namespaces, mounts and cgroups. */
export function canRunSandboxes() {
  return process.platform === 'linux' && process.getuid() === 0
}
