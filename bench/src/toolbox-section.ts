import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { acceptTunnel, createTunnelServer, type TunnelPeer } from '@atoll/tunnel'
import type { BenchSection } from './bench-section.ts'
import { median } from './measure.ts'
import type { SystemClient } from './system.ts'
import { findToolbox } from './toolbox-process.ts'

const ROUNDS = 30
const TARGET_START_MS = 80
const SANDBOXES = 3
/** The wait until a toolbox has connected and its Node has freed the memory it needed to start. */
const SETTLE_MS = 10_000
const TARGET_MB = 15

/** Measures how fast a toolbox starts, and its memory while it gets no calls. */
export async function benchToolbox(checkout: string, client: SystemClient): Promise<BenchSection> {
  const start = await benchStart(join(checkout, 'apps/toolbox'))
  const ids = await Promise.all(Array.from({ length: SANDBOXES }, () => client.createSandbox()))
  await delay(SETTLE_MS)
  const memory = median(await Promise.all(ids.map(privateMb)))
  await Promise.all(ids.map((id) => client.deleteSandbox(id)))
  return {
    title: 'a toolbox',
    rows: [
      { name: 'node -e 0, from exec to exit', median: start.bare, unit: 'ms', ratio: 1 },
      {
        ...{ name: 'from exec to connected', median: start.toolbox, unit: 'ms', ratio: start.toolbox / start.bare },
        ...{ target: `≤ ${TARGET_START_MS} ms`, ok: start.toolbox <= TARGET_START_MS },
      },
      {
        ...{ name: `private memory, idle, of ${SANDBOXES} sandboxes`, median: memory, unit: 'MB' },
        ...{ target: `≤ ${TARGET_MB} MB`, ok: memory <= TARGET_MB },
      },
    ],
  }
}

/** Measures the milliseconds from the toolbox's exec, with the runner's flags, until its tunnel is open; and bare Node's. */
async function benchStart(app: string): Promise<{ bare: number; toolbox: number }> {
  const flags: string[] = JSON.parse(await readFile(join(app, 'node-flags.json'), 'utf8'))
  const folder = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  const home = await startHome(join(folder, 'home.sock'))
  const bare: number[] = []
  const toolbox: number[] = []
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const beforeBare = performance.now()
      await once(spawn(process.execPath, [...flags, '-e', '0'], { env: home.env }), 'exit')
      bare.push(performance.now() - beforeBare)
      const before = performance.now()
      const child = spawn(process.execPath, [...flags, join(app, 'dist/main.js')], { env: home.env, stdio: 'ignore' })
      await home.nextTunnel()
      toolbox.push(performance.now() - before)
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  } finally {
    home.close()
    await rm(folder, { recursive: true })
  }
  return { bare: median(bare), toolbox: median(toolbox) }
}

/** Opens a socket that toolboxes dial, like the API's. */
async function startHome(socketPath: string) {
  const tunnels = createTunnelServer()
  let take: (peer: TunnelPeer) => void = () => {}
  const server = createServer().listen(socketPath)
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A killed toolbox breaks off its tunnel.
    acceptTunnel(tunnels, { req, socket, head }, {}).then(
      (peer) => take(peer),
      () => {},
    )
  })
  await once(server, 'listening')
  const env = {
    HOME: '/',
    PATH: '/usr/bin:/bin',
    ATOLL_CONTROL_URL: `ws+unix:${socketPath}:/tunnel`,
    ATOLL_TOOLBOX_TOKEN: 'bench',
    ATOLL_SANDBOX_ID: 'bench',
  }
  return {
    env,
    nextTunnel: () =>
      new Promise<TunnelPeer>((resolve) => {
        take = resolve
      }),
    close: () => server.close(),
  }
}

/** Returns the private memory (Private_Clean and Private_Dirty) of a sandbox's toolbox, in MB. */
async function privateMb(sandboxId: string): Promise<number> {
  const maps = await readFile(`/proc/${await findToolbox(sandboxId)}/smaps_rollup`, 'utf8')
  const kilobytes = [...maps.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)].map(([, amount]) => Number(amount))
  return kilobytes.reduce((sum, amount) => sum + amount, 0) * 1.024e-3
}
