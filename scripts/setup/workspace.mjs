// npm packages through the pinned pnpm, and the build through turbo. Both are quick when nothing changed.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runCommand } from './run-command.mjs'

export const root = dirname(dirname(import.meta.dirname))

const INSTALL_DEADLINE_MS = 15 * 60_000
const BUILD_DEADLINE_MS = 10 * 60_000
// In node_modules, so that removing that folder removes the claim that it is complete.
const stampPath = join(root, 'node_modules', '.atoll-installed')

/** The environment for the workspace's own tools: they are on PATH and neither phone home nor ask. */
export function toolEnvironment() {
  return {
    ...process.env,
    PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`,
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
    DO_NOT_TRACK: '1',
  }
}

/** Installs the npm packages of the lockfile unless that very lockfile is what stands in node_modules. */
export async function installNpmPackages(print) {
  const stamp = installStamp()
  if (existsSync(stampPath) && readFileSync(stampPath, 'utf8') === stamp) return
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  print(`Installing npm packages with ${packageManager} (a minute or two, once)`)
  // CI=true keeps pnpm from asking whether it may replace a node_modules folder.
  await runCommand(['npm', 'exec', '--yes', '--loglevel=error', packageManager, '--', 'install', '--frozen-lockfile'], {
    cwd: root,
    env: { ...process.env, CI: 'true' },
    deadlineMs: INSTALL_DEADLINE_MS,
  })
  writeFileSync(stampPath, stamp)
}

/** Builds the apps; turbo answers from its cache when their sources did not change. */
export async function buildApps() {
  await runCommand(['turbo', 'run', 'build', '--output-logs=errors-only'], {
    cwd: root,
    env: toolEnvironment(),
    deadlineMs: BUILD_DEADLINE_MS,
  })
}

function installStamp() {
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', '.npmrc']) hash.update(readFileSync(join(root, file)))
  return `${hash.digest('hex')} ${process.platform} ${process.arch} ${process.versions.modules}\n`
}
