import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { killEverything } from '@atoll/dev-env'
import type { ApiClient } from './api-client.ts'
import { jsonOf } from './api-client.ts'
import { openDataDisk } from './data-disk.ts'

/** How long it may take until it is ready, in milliseconds: the API may be hit meanwhile. */
const READY_WITHIN_MS = 120_000
const LOOK_EVERY_MS = 200
/** How long one that is told to end, or whose token is refused, may take, in milliseconds. */
const END_WITHIN_MS = 60_000
const DISK_GIB = 64

/** A runner beside the one of `atoll up`, as on another host, which can be lost. */
export interface SecondRunner extends AsyncDisposable {
  readonly id: string
  readonly dataDir: string
  pid(): number | undefined
  /** Resolves once it is ready. Throws when it takes longer than 120 s. */
  start(): Promise<void>
  /** `host`: everything of it ends at once. `link`: only nobody hears of it, and its sandboxes run on. */
  vanish(how: 'host' | 'link'): Promise<void>
  /** Starts it though it was removed, and resolves once it has ended by itself. Throws when that takes longer than 60 s. */
  startInVain(): Promise<void>
}

export interface SecondRunnerOptions {
  client: ApiClient
  url: () => string
  checkout: string
  /** Told, in words, that it ended and was not to. */
  onDeath: (how: string) => void
}

/** Registers it and starts it on a disk of its own, which goes when it is disposed. Throws where it cannot be. */
export async function openSecondRunner(options: SecondRunnerOptions): Promise<SecondRunner> {
  const { client, url, checkout, onDeath } = options
  const body = { name: 'second', region: 'us' }
  const made = jsonOf(await client.call('POST', '/runners', { operation: 'add runner', promised: 'quick', body }))
  if (made === undefined) throw new Error('a second runner cannot be registered')
  const id = String(made['id'])
  const disk = openDataDisk(DISK_GIB)
  const { dataDir } = disk
  let child: ChildProcess | undefined

  function launch(): ChildProcess {
    mkdirSync(join(dataDir, 'logs'), { recursive: true })
    const log = openSync(join(dataDir, 'logs/runner.log'), 'a')
    const fresh = spawn(process.execPath, [join(checkout, 'apps/runner/dist/main.js')], {
      env: {
        ...{ PATH: process.env['PATH'], ATOLL_DATA_DIR: dataDir, ATOLL_CONTROL_URL: url() },
        ...{ ATOLL_RUNNER_TOKEN: String(made?.['apiKey']), ATOLL_SANDBOX_NETWORK: 'none' },
      },
      stdio: ['ignore', log, log],
      // The terminal's Ctrl-C is not for it.
      detached: true,
    })
    closeSync(log)
    fresh.once('exit', (code, signal) => {
      if (child === fresh) onDeath(signal ? `killed by ${signal}` : `status ${code}`)
    })
    return fresh
  }

  /** From here on its end is expected. */
  function letGo(): ChildProcess | undefined {
    const going = child
    child = undefined
    return going
  }

  return {
    id,
    dataDir,
    pid: () => child?.pid,
    async start() {
      child = launch()
      const giveUpAt = performance.now() + READY_WITHIN_MS
      while (!(await isReady(client, id))) {
        if (performance.now() > giveUpAt) throw new Error('the second runner does not become ready')
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
      }
    },
    async vanish(how) {
      const going = letGo()
      if (going === undefined) return
      if (how === 'host') await killEverything(dataDir, going)
      else if (going.kill('SIGKILL')) await ended(going)
    },
    async startInVain() {
      await ended(launch())
    },
    async [Symbol.asyncDispose]() {
      const going = letGo()
      if (going?.kill('SIGTERM')) await ended(going)
      disk[Symbol.dispose]()
    },
  }
}

async function isReady(client: ApiClient, id: string): Promise<boolean> {
  const found = await client.call('GET', `/runners/${id}`, { operation: 'look at runner', promised: 'quick' })
  return jsonOf(found)?.['state'] === 'ready'
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  try {
    await once(child, 'exit', { signal: AbortSignal.timeout(END_WITHIN_MS) })
  } catch (cause) {
    child.kill('SIGKILL')
    throw new Error(`the second runner does not end within ${END_WITHIN_MS / 1000} s`, { cause })
  }
}
