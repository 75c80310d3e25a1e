import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { readTextIfPresent, tellSupervisor } from '@atoll/service'
import type { UpConfig } from '../config.ts'
import { prepareDataFolder, readOrMakeRunnerToken } from './data-folder.ts'
import { lockDataFolder } from './data-folder-lock.ts'
import { makeDialHomeFolder } from './dial-home-folder.ts'
import { waitForOrphans } from './orphans.ts'
import { requireFreePort } from './port.ts'
import type { StopSignal } from './stop-signal.ts'
import { listenForStop } from './stop-signal.ts'
import type { System } from './system.ts'
import { openSystem } from './system.ts'
import type { Terminal } from './terminal.ts'
import { createTerminal } from './terminal.ts'
import { welcomeText } from './welcome.ts'

export interface UpOptions {
  readonly config: UpConfig
  /** The environment that is passed on to the programs. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly version: string
  readonly apiMain: string
  readonly runnerMain: string
}

/**
 * Runs the whole system until it is told to stop, and returns the exit status. If it cannot start, ends the programs that
 * had started and throws StartError.
 */
export async function up(options: UpOptions): Promise<number> {
  const { config } = options
  const terminal = createTerminal(process.stdout, process.stderr, config.logLevel)
  const stopSignal = listenForStop(process)
  prepareDataFolder(config.dataDir)
  const lock = lockDataFolder(config.dataDir)
  try {
    if (lock.orphans.length > 0) terminal.say('Waiting for what a killed Atoll left to end')
    await waitForOrphans(lock.orphans)
    await requireFreePort(config.host, config.port)
    const dialHome = makeDialHomeFolder(config.dataDir)
    try {
      return await runSystem({ ...options, terminal, stopSignal, dialHomeDir: dialHome.path, note: lock.setChildren })
    } finally {
      dialHome.remove()
    }
  } finally {
    lock.release()
    stopSignal.dispose()
  }
}

interface RunSystemOptions extends UpOptions {
  terminal: Terminal
  stopSignal: StopSignal
  dialHomeDir: string
  note: Parameters<typeof openSystem>[0]['onProcesses']
}

async function runSystem(options: RunSystemOptions): Promise<number> {
  const { config, terminal, stopSignal } = options
  const keyPath = join(config.dataDir, 'api-key')
  const isFirstStart = readTextIfPresent(keyPath) === undefined
  const logDir = join(config.dataDir, 'logs')
  mkdirSync(logDir, { recursive: true, mode: 0o700 })
  const system = openSystem({
    ...options,
    runnerToken: readOrMakeRunnerToken(config.dataDir),
    logDir,
    onProcesses: options.note,
  })
  terminal.say(`Starting on the data folder ${config.dataDir}`)
  const stopped = aborted(stopSignal.stop)
  let reason: string | undefined
  try {
    const url = await Promise.race([system.start(), stopped])
    if (url !== undefined) {
      const newApiKey = isFirstStart ? readTextIfPresent(keyPath)?.trim() : undefined
      terminal.say(welcomeText({ version: options.version, url, dataDir: config.dataDir, newApiKey }))
      await tellSupervisor({ type: 'ready', url })
      reason = await Promise.race([system.gaveUp, stopped])
    }
    terminal.say(reason ? `Stopping, because ${reason}` : 'Stopping: the runner with its sandboxes, then the API')
  } finally {
    await endSystem(system, stopSignal)
  }
  if (stopSignal.force.aborted) return 1
  terminal.say(`Stopped. Everything is kept in ${config.dataDir}`)
  return reason === undefined ? 0 : 1
}

async function endSystem(system: System, stopSignal: StopSignal): Promise<void> {
  stopSignal.force.addEventListener('abort', () => system.kill(), { once: true })
  if (stopSignal.force.aborted) system.kill()
  await system.stop()
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}
