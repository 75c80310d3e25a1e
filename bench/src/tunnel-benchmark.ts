import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bulkEnvironment, bulkNodeOptions } from '@atoll/service'
import type { BenchRow, BenchSection } from './bench-section.ts'
import { median } from './measure.ts'
import type { LoadQuestion } from './tunnel-client.ts'
import type { Route } from './tunnel-load.ts'
import { type Program, startProgram } from './tunnel-programs.ts'

const ROUNDS = 5
const LATENCY_MS = 700
const BULK_BYTES = 256 * 2 ** 20
const SLOW_BYTES = 2 ** 30
const MEMORY_ROW = 'memory of the front while 1 GiB meets a slow reader, peak'

/** The measured ways to the daemon. `tunnel` is dialled over the Unix socket that sandboxes get; only it has targets. */
type Way = 'direct' | 'bare pipe' | 'tunnel' | 'tunnel over TCP' | 'proxy' | 'tuned proxy'
const allWays: readonly Way[] = ['direct', 'bare pipe', 'tunnel', 'tunnel over TCP', 'proxy', 'tuned proxy']

/** A measurement that is taken on every way, in every round. */
interface Measure {
  name: string
  unit: string
  load: LoadQuestion['load']
  amount: number
  /** The targets of the tunnel, relative to the other ways. */
  targets?: readonly { against: Way; least?: number; most?: number }[]
}

const measures: readonly Measure[] = [
  { name: 'small calls, 1 in flight', unit: 'calls/s', load: 'callsPerSecond', amount: 1 },
  { name: 'small calls, 32 in flight', unit: 'calls/s', load: 'callsPerSecond', amount: 32 },
  {
    name: 'small calls, 256 in flight',
    unit: 'calls/s',
    load: 'callsPerSecond',
    amount: 256,
    targets: [
      { against: 'direct', least: 0.65 },
      { against: 'proxy', least: 3.5 },
    ],
  },
  {
    name: 'one call, p50',
    unit: 'µs',
    load: 'oneCall',
    amount: LATENCY_MS,
    targets: [{ against: 'direct', most: 1.6 }],
  },
  {
    name: 'download',
    unit: 'MiB/s',
    load: 'download',
    amount: BULK_BYTES,
    targets: [{ against: 'direct', least: 0.6 }],
  },
  {
    name: 'upload',
    unit: 'MiB/s',
    load: 'upload',
    amount: BULK_BYTES,
    targets: [{ against: 'direct', least: 0.6 }],
  },
  { name: 'keystroke beside bulk, p50', unit: 'µs', load: 'keystrokes', amount: LATENCY_MS },
]

/**
 * Compares the tunnel with the daemon's own port and with an ordinary proxy hop: every part runs in a process of its own,
 * and the ways take turns within each round. With `words`, measures only the rows with one of them in their names.
 */
export async function benchTunnel(words: readonly string[]): Promise<BenchSection> {
  const chosen = (name: string) => words.length === 0 || words.some((word) => name.includes(word))
  const folder = mkdtempSync(join(tmpdir(), 'atoll-bench-'))
  const socket = join(folder, 'dial-home.sock')
  const front = await startProgram('tunnel-front', {
    args: [socket],
    nodeOptions: bulkNodeOptions,
    env: bulkEnvironment,
  })
  const tunnels = [`ws+unix:${socket}:/dial/unix`, `ws://127.0.0.1:${front.port}/dial/tcp`]
  const daemon = await startProgram('tunnel-daemon', { args: tunnels, nodeOptions: toolboxNodeOptions() })
  const proxy = await startProgram('tunnel-proxy', { args: [`http://127.0.0.1:${daemon.port}`] })
  const pipe = await startProgram('tunnel-pipe', { args: [String(daemon.port)] })
  const client = await startProgram('tunnel-client')
  try {
    const [daemonOrigin, frontOrigin, proxyOrigin, pipeOrigin] = [daemon, front, proxy, pipe].map(
      ({ port }) => `http://127.0.0.1:${port}`,
    )
    const routes: Record<Way, Route> = {
      direct: { origin: daemonOrigin ?? '', prefix: '' },
      'bare pipe': { origin: pipeOrigin ?? '', prefix: '' },
      tunnel: { origin: frontOrigin ?? '', prefix: '/toolbox/unix' },
      'tunnel over TCP': { origin: frontOrigin ?? '', prefix: '/toolbox/tcp' },
      proxy: { origin: proxyOrigin ?? '', prefix: '/proxy' },
      'tuned proxy': { origin: proxyOrigin ?? '', prefix: '/tuned-proxy' },
    }
    for (const way of allWays) await warmUp(client, routes[way])
    for (const program of [front, daemon, proxy, pipe, client]) await program.age()
    const rows: BenchRow[] = []
    for (const measure of measures) {
      if (chosen(measure.name)) rows.push(...(await measureRows(measure, { client, routes })))
    }
    if (chosen(MEMORY_ROW)) rows.push(await memoryRow(front, { client, route: routes.tunnel }))
    return { title: 'Tunnel, against direct HTTP and @fastify/http-proxy', rows }
  } finally {
    await Promise.all([client.stop(), pipe.stop(), proxy.stop(), daemon.stop(), front.stop()])
    rmSync(folder, { recursive: true })
  }
}

/** Returns the options of Node with which toolboxes are started in sandboxes. */
function toolboxNodeOptions(): readonly string[] {
  return JSON.parse(readFileSync(new URL('../../apps/toolbox/node-flags.json', import.meta.url), 'utf8'))
}

async function warmUp(client: Program, route: Route): Promise<void> {
  await run(client, { load: 'callsPerSecond', route, amount: 32 })
  await run(client, { load: 'download', route, amount: BULK_BYTES / 4 })
  await run(client, { load: 'upload', route, amount: BULK_BYTES / 4 })
}

async function run(client: Program, question: LoadQuestion): Promise<number> {
  return Number(await client.ask(question))
}

async function measureRows(
  measure: Measure,
  { client, routes }: { client: Program; routes: Record<Way, Route> },
): Promise<BenchRow[]> {
  const { name, unit, load, amount } = measure
  const values = new Map(allWays.map((way): [Way, number[]] => [way, []]))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [way, measured] of values) measured.push(await run(client, { load, route: routes[way], amount }))
  }
  const medianOf = (way: Way) => median(values.get(way) ?? [])
  const rows = allWays.map(
    (way): BenchRow => ({
      name: `${name}: ${way}`,
      median: medianOf(way),
      unit,
      ratio: medianOf(way) / medianOf('direct'),
    }),
  )
  for (const target of measure.targets ?? []) {
    const ratio = medianOf('tunnel') / medianOf(target.against)
    rows.push({
      name: `${name}: tunnel / ${target.against}`,
      median: ratio,
      unit: '×',
      ratio,
      target: target.least === undefined ? `≤ ${target.most}` : `≥ ${target.least}`,
      ok: ratio >= (target.least ?? 0) && ratio <= (target.most ?? Number.POSITIVE_INFINITY),
    })
  }
  return rows
}

async function memoryRow(front: Program, { client, route }: { client: Program; route: Route }): Promise<BenchRow> {
  await front.peakMemoryBytes()
  await run(client, { load: 'slowDownload', route, amount: SLOW_BYTES })
  const mebibytes = (await front.peakMemoryBytes()) / 2 ** 20
  return { name: MEMORY_ROW, median: mebibytes, unit: 'MiB', target: '< 150', ok: mebibytes < 150 }
}
