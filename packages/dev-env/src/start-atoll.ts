import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { killEverything } from './kill-everything.ts'

/** The longest start: the first one makes a database and probes the host. */
const READY_WITHIN_MS = 120_000
/** The longest stop: `atoll up` promises ten seconds; after this it is stuck. */
const STOP_WITHIN_MS = 20_000
/** A file of each app's build. */
const BUILDS = {
  api: 'main.js',
  runner: 'main.js',
  toolbox: 'main.js',
  cli: 'main.js',
  'sandbox-tools': 'hash',
}

export interface StartAtollOptions {
  /** The data folder, which is kept; by default a temp folder that is removed with dispose(). */
  dataDir?: string
  /** Variables added to this process's environment. By default no warm pool is kept. */
  env?: Record<string, string>
  /** The checkout with the built apps; this one by default. */
  checkout?: string
}

export interface AtollProcesses {
  supervisor: number
  api: number
  runner: number
}

/** A running system like a user's: `atoll up` as a process, on a free port. */
export interface RunningAtoll extends AsyncDisposable {
  /** The URL of the present run: a restart takes another free port. */
  readonly url: string
  readonly apiKey: string
  readonly dataDir: string
  /** Returns the present process numbers; those of the API and the runner change when they are started again. */
  pids(): AtollProcesses
  /** Returns the output since the last start. */
  output(): string
  /** Resolves once `words` were printed since the last start; rejects if the system ends before. */
  printed(words: string): Promise<void>
  /** Sends SIGTERM and resolves with the exit status. Throws if that takes longer than 20 s. */
  stop(): Promise<number | null>
  /** Sends SIGKILL to every process of the system, sandboxes included, until none is left. */
  kill9(): Promise<void>
  /** Stops the system if it still runs, and starts it on the same data folder. */
  restart(): Promise<void>
}

/** Starts the system and resolves when it reports that it is ready. If it cannot start, throws an error with its output. */
export async function startAtoll(options: StartAtollOptions = {}): Promise<RunningAtoll> {
  const checkout = options.checkout ?? dirname(dirname(dirname(import.meta.dirname)))
  requireBuilds(checkout)
  const ownDir = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), 'atoll-dev-')) : undefined
  const dataDir = options.dataDir ?? ownDir ?? ''
  const start = () =>
    startRun(checkout, { ATOLL_PORT: '0', ATOLL_WARM_POOL_MAX: '0', ...options.env, ATOLL_DATA_DIR: dataDir })
  let run: Run
  try {
    run = await start()
  } catch (error) {
    if (ownDir) await rm(ownDir, { recursive: true, force: true })
    throw error
  }
  return {
    get url() {
      return run.url
    },
    get apiKey() {
      return readFileSync(join(dataDir, 'api-key'), 'utf8').trim()
    },
    dataDir,
    pids: () => readPids(dataDir, run.child.pid ?? 0),
    output: () => run.output(),
    printed: (words) => run.printed(words),
    stop: () => stopRun(run),
    kill9: () => killEverything(dataDir, run.child),
    async restart() {
      await stopRun(run)
      run = await start()
    },
    async [Symbol.asyncDispose]() {
      await stopRun(run)
      if (ownDir) await rm(ownDir, { recursive: true, force: true })
    },
  }
}

interface Run {
  child: ChildProcess
  url: string
  output: () => string
  printed: (words: string) => Promise<void>
  ended: Promise<number | null>
}

async function startRun(checkout: string, env: Record<string, string>): Promise<Run> {
  const child = spawn(process.execPath, [join(checkout, 'apps/cli/dist/main.js'), 'up'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      child.emit('printed')
    })
  }
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  async function printed(words: string): Promise<void> {
    const over = ended.then(() => true)
    while (!text.includes(words)) {
      const isOver = await Promise.race([over, once(child, 'printed').then(() => false)])
      if (isOver && !text.includes(words)) throw new Error(`Atoll ended without printing "${words}":\n${text}`)
    }
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_WITHIN_MS)
  const message = await Promise.race([once(child, 'message').then(([said]) => said), ended])
  clearTimeout(timer)
  const url = typeof message === 'object' && message !== null ? Reflect.get(message, 'url') : undefined
  if (typeof url !== 'string') throw new Error(`Atoll did not start:\n${text}`)
  return { child, url, output: () => text, printed, ended }
}

async function stopRun(run: Run): Promise<number | null> {
  run.child.kill('SIGTERM')
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    run.child.kill('SIGKILL')
  }, STOP_WITHIN_MS)
  const status = await run.ended
  clearTimeout(timer)
  if (isLate) throw new Error(`Atoll did not end within ${STOP_WITHIN_MS / 1000} s:\n${run.output()}`)
  return status
}

function readPids(dataDir: string, supervisor: number): AtollProcesses {
  // The supervisor's lock names the processes that it started.
  const { children } = JSON.parse(readFileSync(join(dataDir, 'up.lock'), 'utf8')) as {
    children: Record<string, { pid: number }>
  }
  return { supervisor, api: children['api']?.pid ?? 0, runner: children['runner']?.pid ?? 0 }
}

function requireBuilds(checkout: string): void {
  const missing = Object.entries(BUILDS).filter(([app, file]) => !existsSync(join(checkout, 'apps', app, 'dist', file)))
  if (missing.length === 0) return
  throw new Error(`not built: ${missing.map(([app]) => app).join(', ')}; run: npx turbo run build`)
}
