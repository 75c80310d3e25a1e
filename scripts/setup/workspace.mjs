// Installs npm packages with the pinned pnpm, and builds with turbo. Both are quick if nothing has changed.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runCommand } from './run-command.mjs'

export const root = dirname(dirname(import.meta.dirname))

const INSTALL_DEADLINE_MS = 15 * 60_000
const BUILD_DEADLINE_MS = 10 * 60_000
// The stamp lies in node_modules, so that it is removed together with that folder.
const stampPath = join(root, 'node_modules', '.atoll-installed')

/** Returns the environment for the workspace's own tools: they are on PATH, send no telemetry and ask no questions. */
export function toolEnvironment() {
  return {
    ...process.env,
    PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`,
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
    DO_NOT_TRACK: '1',
  }
}

/** Installs the npm packages of the lockfile, unless the stamp shows that node_modules has them. */
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

/** Builds the apps; turbo uses its cache if their sources did not change. */
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
