import { CommandError } from './run-command.mjs'
import { ensureSystemPackages } from './system-packages.mjs'
import { buildApps, installNpmPackages } from './workspace.mjs'

/** A step of the set-up failed; what it printed has been shown. */
export class SetUpError extends Error {
  name = 'SetUpError'
}

/**
 * Everything between `git clone` and running: system packages, npm packages, the build. When a step fails, shows
 * what the failing command printed and throws SetUpError with one sentence. `--no-system-packages` or
 * ATOLL_INSTALL_SYSTEM_PACKAGES=no keep apt-get out of it. Returns the system packages that are missing.
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

/** The oci driver makes namespaces, mounts and cgroups: nothing below root on Linux can. */
export function canRunSandboxes() {
  return process.platform === 'linux' && process.getuid() === 0
}
