import type { ChildProcess } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { acceptTunnel, createTunnelServer } from '@atoll/tunnel'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'

const APP_DIR = join(import.meta.dirname, '../..')
export const TOKEN = 'toolbox-test-token'

/** Builds the bundle, as the build does, in a folder of its own. */
async function buildBundle(): Promise<{ main: string; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-bundle-'))
  await chmod(folder, 0o755)
  await copyFile(join(APP_DIR, 'package.json'), join(folder, 'package.json'))
  for (const name of ['src', 'node-flags.json', 'warm-up.cjs']) await symlink(join(APP_DIR, name), join(folder, name))
  await promisify(execFile)(process.execPath, [join(APP_DIR, '../../scripts/build-app.mjs')], { cwd: folder })
  return { main: join(folder, 'dist/main.js'), folder }
}

/** Returns the options of Node with which the runner starts the toolbox. */
async function readNodeFlags(): Promise<string[]> {
  return JSON.parse(await readFile(join(APP_DIR, 'node-flags.json'), 'utf8'))
}

/** A server on a unix socket that toolboxes dial, as the API's dial-home socket is. */
export interface DialHome extends AsyncDisposable {
  readonly url: string
  /** Returns the next tunnel that is dialled. */
  nextPeer(): Promise<TunnelPeer>
  /** The number of attempts that were refused for their token. */
  readonly refused: number
  /** Resolves at the first refused attempt. */
  nextRefusal(): Promise<void>
}

async function startDialHome(): Promise<DialHome> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-dial-home-'))
  await chmod(folder, 0o755)
  const socketPath = join(folder, 'dial-home.sock')
  const peers: TunnelPeer[] = []
  const waiting: ((peer: TunnelPeer) => void)[] = []
  const tunnels = createTunnelServer()
  const http = createServer()
  let refused = 0
  http.on('upgrade', (req: IncomingMessage, socket, head) => {
    if (req.url !== TOOLBOX_TUNNEL_PATH || req.headers.authorization !== `Bearer ${TOKEN}`) {
      refused += 1
      http.emit('refused')
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      return
    }
    acceptTunnel(tunnels, { req, socket, head }, {}).then(
      (peer) => (waiting.shift() ?? ((kept) => peers.push(kept)))(peer),
      () => {},
    )
  })
  http.listen(socketPath)
  await once(http, 'listening')
  await chmod(socketPath, 0o666)
  return {
    url: `ws+unix:${socketPath}:${TOOLBOX_TUNNEL_PATH}`,
    nextPeer: () =>
      new Promise((resolve) => {
        const peer = peers.shift()
        if (peer === undefined) waiting.push(resolve)
        else resolve(peer)
      }),
    async nextRefusal() {
      if (refused === 0) await once(http, 'refused')
    },
    get refused() {
      return refused
    },
    async [Symbol.asyncDispose]() {
      http.closeAllConnections()
      http.close()
      await rm(folder, { recursive: true })
    },
  }
}

/** A running bundle and its log. */
export interface ToolboxProcess extends AsyncDisposable {
  readonly child: ChildProcess
  log(): string
  /** Resolves when a log line contains the words. */
  logged(words: string): Promise<void>
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | string>
}

interface ToolboxProcessOptions {
  /** The bundle's entry. */
  main: string
  env: Record<string, string>
  nodeFlags?: readonly string[]
  /** The user and group to run as; needs root. */
  uid?: number
}

function startToolbox({ main, env, nodeFlags = [], uid }: ToolboxProcessOptions): ToolboxProcess {
  const child = spawn(process.execPath, [...nodeFlags, main], {
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  return {
    child,
    log: () => text,
    async logged(words) {
      while (!text.includes(words)) await once(child.stderr, 'data')
    },
    exited: once(child, 'close').then(([code, signal]) => code ?? signal),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'close')
      }
    },
  }
}

/** What the tests of a file have: one bundle, and in each test a home folder and a server to dial of its own. */
export interface OwnBundle {
  /** The bundle's entry. */
  readonly main: string
  readonly nodeFlags: readonly string[]
  readonly dialHome: DialHome
  readonly home: string
  /** Starts a toolbox that ends with the test. `env` adds to what the runner gives it, or replaces that. */
  start(options?: { env?: Record<string, string>; uid?: number | undefined }): ToolboxProcess
}

/** Builds the bundle before the tests of the file, and ends after each test what was started in it. */
export function ownBundle(): OwnBundle {
  let bundle: Awaited<ReturnType<typeof buildBundle>>
  let nodeFlags: string[]
  let dialHome: DialHome
  let home: string
  const started: ToolboxProcess[] = []

  beforeAll(async () => {
    bundle = await buildBundle()
    nodeFlags = await readNodeFlags()
  })
  afterAll(() => rm(bundle.folder, { recursive: true }))
  beforeEach(async () => {
    dialHome = await startDialHome()
    home = await mkdtemp(join(tmpdir(), 'atoll-home-'))
  })
  afterEach(async () => {
    for (const toolbox of started.splice(0)) await toolbox[Symbol.asyncDispose]()
    await dialHome[Symbol.asyncDispose]()
    await rm(home, { recursive: true })
  })

  return {
    get main() {
      return bundle.main
    },
    get nodeFlags() {
      return nodeFlags
    },
    get dialHome() {
      return dialHome
    },
    get home() {
      return home
    },
    start({ env, uid } = {}) {
      const own = {
        HOME: home,
        ATOLL_CONTROL_URL: dialHome.url,
        ATOLL_TOOLBOX_TOKEN: TOKEN,
        ATOLL_SANDBOX_ID: 'sandbox-1',
      }
      const who = uid === undefined ? {} : { uid }
      const toolbox = startToolbox({ main: bundle.main, nodeFlags, env: { ...own, ...env }, ...who })
      started.push(toolbox)
      return toolbox
    },
  }
}
