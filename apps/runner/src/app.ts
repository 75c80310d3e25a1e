import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger, RunningService, ShutdownPhase } from '@atoll/service'
import { shutDown } from '@atoll/service'
import type { Config, Secrets } from './config.ts'
import { openControlLink } from './control-link.ts'
import { lockDataFolder } from './data-folder-lock.ts'
import type { DialHomes } from './dial-homes.ts'
import { openDialHomeRelays, sharedDialHome } from './dial-homes.ts'
import { openOciDriver } from './drivers/oci/oci-driver.ts'
import { readRunnerInfo } from './host-resources.ts'
import { runCommand } from './run-command.ts'
import { createRunnerInterface } from './runner-interface.ts'

/** Time that processes of sandboxes get to end by themselves when the runner stops, in milliseconds. */
const SHUTDOWN_GRACE_MS = 1_500

export interface RunnerOptions {
  config: Config
  secrets: Secrets
  log: Logger
  /** Aborts at the first request to stop. */
  signal: AbortSignal
}

/**
 * Takes the data folder's lock and opens the ways home, the driver with its sandboxes and the link to the API.
 * Resolves when the API gives this runner work. Ends everything it began when a step fails.
 */
export async function startRunner(options: RunnerOptions): Promise<RunningService> {
  // Phases in the order to run: the part that was opened last ends first. They take 5.5 s at most.
  const phases: ShutdownPhase[] = []
  try {
    await openRunner(options, phases)
    return { phases }
  } catch (error) {
    await shutDown(phases, options.log)
    throw error
  }
}

async function openRunner({ config, secrets, log, signal }: RunnerOptions, phases: ShutdownPhase[]): Promise<void> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  const dataDir = await realpath(config.dataDir)
  const lock = await lockDataFolder(dataDir)
  phases.unshift({ name: 'lock', deadlineMs: 200, run: async () => lock[Symbol.asyncDispose]() })

  const dialHomeDir = config.dialHomeDir === undefined ? undefined : await realpath(config.dialHomeDir)
  const dialHomes =
    dialHomeDir === undefined ? await openRelays({ config, dataDir, log }, phases) : sharedDialHome(dialHomeDir)
  const driver = await openOciDriver({
    dataDir,
    toolboxDir: config.toolboxDir,
    toolsDir: config.toolsDir,
    dialHomes,
    hiddenPaths: [dialHomeDir, config.ownHome].filter((path) => path !== undefined),
    runtime: config.runtime,
    network: config.network,
    snapshotDirectories: config.snapshotDirectories,
    log,
    run: runCommand,
  })
  phases.unshift({ name: 'driver', deadlineMs: 1_500, run: async () => driver[Symbol.asyncDispose]() })
  for (const limitation of driver.info.limitations) log.warn(limitation)

  const readInfo = () => readRunnerInfo(driver, dataDir)
  let onReady: () => void = () => undefined
  const ready = new Promise<void>((resolve) => {
    onReady = resolve
  })
  const onRequest = createRunnerInterface({ driver, readInfo, onReady, log, now: Date.now })
  const link = openControlLink({ controlUrl: config.controlUrl, token: secrets.runnerToken, onRequest, log })
  // Sandboxes end while the link is still open, so that the API gets the events.
  phases.unshift(
    { name: 'sandboxes', deadlineMs: 3_000, run: () => driver.stopAll(SHUTDOWN_GRACE_MS) },
    { name: 'link', deadlineMs: 500, run: async () => link[Symbol.asyncDispose]() },
  )
  // A link alone is not enough: work comes once the API has compared this runner's sandboxes with its rows.
  await Promise.race([link.connected.then(() => ready), aborted(signal)])
}

async function openRelays(
  { config, dataDir, log }: { config: Config; dataDir: string; log: Logger },
  phases: ShutdownPhase[],
): Promise<DialHomes> {
  const relays = await openDialHomeRelays({ folder: join(dataDir, 'dial-homes'), controlUrl: config.controlUrl, log })
  phases.unshift({ name: 'relays', deadlineMs: 300, run: async () => relays[Symbol.asyncDispose]() })
  return relays
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve())
  })
}
