import { join } from 'node:path'
import type { ProcessIdentity } from '@atoll/service'
import { bulkEnvironment, bulkNodeOptions } from '@atoll/service'
import type { UpConfig } from '../config.ts'
import type { KeptProgram } from './kept-program.ts'
import { keepRunning } from './kept-program.ts'
import type { LogFile } from './log-file.ts'
import { openLogFile } from './log-file.ts'
import { localUrl } from './port.ts'
import type { Program } from './program.ts'
import { startProgram } from './program.ts'
import type { Terminal } from './terminal.ts'

/** The longest start of the API: the first one makes a database cluster, which takes long on a slow disk. */
const API_READY_WITHIN_MS = 60_000
const RUNNER_READY_WITHIN_MS = 60_000
/** The time for a stop, of which ten seconds are promised. The API gets the time that the runner leaves. */
const STOP_MS = 9_500
const RUNNER_STOP_MS = 6_000
/** The time a program has between its last signal and being killed. */
const KILL_AFTER_MS = 500
/** The wait before the record of the processes is written again after a failure. */
const NOTE_AGAIN_MS = 1_000

export interface SystemOptions {
  readonly config: UpConfig
  readonly env: Readonly<Record<string, string | undefined>>
  readonly apiMain: string
  readonly runnerMain: string
  readonly runnerToken: string
  readonly dialHomeDir: string
  readonly logDir: string
  readonly terminal: Terminal
  /** Called whenever the set of processes changes, and called again a while after it threw. */
  readonly onProcesses: (processes: Readonly<Record<string, ProcessIdentity>>) => void
}

export interface System {
  /** Starts the API, then the runner, and resolves with the public address. Throws StartError. */
  start(): Promise<string>
  /** Resolves, with the reason, when a program has died too often. */
  readonly gaveUp: Promise<string>
  /** Ends the runner, which stops its sandboxes, then the API. Always within ten seconds. */
  stop(): Promise<void>
  /** Kills both programs without an orderly shutdown. */
  kill(): void
}

/** Manages the processes of one Atoll, in the order of their dependencies. */
export function openSystem(options: SystemOptions): System {
  const { config, terminal } = options
  const logs = new Map<string, LogFile>()
  const processes: Record<string, ProcessIdentity> = {}
  let api: KeptProgram | undefined
  let runner: KeptProgram | undefined
  let isStopping = false
  let noteAgain: NodeJS.Timeout | undefined
  let giveUp: (reason: string) => void = () => undefined
  const gaveUp = new Promise<string>((resolve) => {
    giveUp = resolve
  })

  /** Records the processes. A full disk is no reason to stop: only a start after a sudden end needs the record. */
  function note(): void {
    clearTimeout(noteAgain)
    try {
      options.onProcesses(processes)
    } catch (error) {
      terminal.warn(`cannot write down which processes run: ${error instanceof Error ? error.message : error}`)
      noteAgain = setTimeout(note, NOTE_AGAIN_MS)
    }
  }

  function keep(program: () => Program, name: string): KeptProgram {
    const log = openLogFile(join(options.logDir, `${name}.log`))
    logs.set(name, log)
    const kept = keepRunning({
      name,
      start: () =>
        startProgram(program(), (line) => {
          log.append(line)
          terminal.showLogLine(name, line)
        }),
      onProcess: (identity) => {
        processes[name] = identity
        note()
      },
      warn: terminal.warn,
    })
    void kept.gaveUp.then(giveUp)
    return kept
  }

  async function start(): Promise<string> {
    // The API keeps its first port over restarts, so that the runner and the clients find it again.
    let port = config.port
    api = keep(() => apiProgram(options, port), 'api')
    const url = await api.ready
    if (url === undefined) throw new Error('the API became ready without saying where')
    port = Number(new URL(url).port)
    // If `stop` was called meanwhile, nothing would end a runner that starts now.
    if (isStopping) return url
    runner = keep(() => runnerProgram(options, localUrl(url)), 'runner')
    await runner.ready
    return url
  }

  async function stop(): Promise<void> {
    isStopping = true
    const stopBy = performance.now() + STOP_MS
    await runner?.stop(RUNNER_STOP_MS)
    await api?.stop(stopBy - performance.now())
    clearTimeout(noteAgain)
    for (const log of logs.values()) log.close()
  }

  function kill(): void {
    for (const program of [runner, api]) program?.signal('SIGTERM')
    setTimeout(() => {
      for (const program of [runner, api]) program?.signal('SIGKILL')
    }, KILL_AFTER_MS)
  }

  return { start, gaveUp, stop, kill }
}

function apiProgram(options: SystemOptions, port: number): Program {
  const { config, env } = options
  return {
    name: 'api',
    main: options.apiMain,
    nodeOptions: bulkNodeOptions,
    readyWithinMs: API_READY_WITHIN_MS,
    env: { ...bulkEnvironment, ...env, ...sharedEnv(options), ATOLL_HOST: config.host, ATOLL_PORT: String(port) },
  }
}

function runnerProgram(options: SystemOptions, controlUrl: string): Program {
  // Only the API gets the variables for the database, for its secrets and for authentication.
  const apis = [
    'DATABASE_URL',
    'ATOLL_ENCRYPTION_KEY',
    'ATOLL_ADMIN_PASSWORD',
    'ATOLL_PROXY_API_KEY',
    'ATOLL_S3_SECRET_ACCESS_KEY',
  ]
  const env = Object.fromEntries(Object.entries(options.env).filter(([name]) => !apis.includes(name)))
  return {
    name: 'runner',
    main: options.runnerMain,
    readyWithinMs: RUNNER_READY_WITHIN_MS,
    env: { ...env, ...sharedEnv(options), ATOLL_CONTROL_URL: controlUrl },
  }
}

function sharedEnv({ config, runnerToken, dialHomeDir }: SystemOptions): Record<string, string> {
  return {
    ATOLL_DATA_DIR: config.dataDir,
    ATOLL_RUNNER_TOKEN: runnerToken,
    ATOLL_DIAL_HOME_DIR: dialHomeDir,
    ATOLL_LOG_LEVEL: config.logLevel,
  }
}
