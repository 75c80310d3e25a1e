import type { BenchRow, BenchSection } from './bench-section.ts'
import { median } from './measure.ts'
import { download, keystrokes, type Route, slowDownload, smallCalls, upload } from './tunnel-load.ts'
import { type Program, startProgram } from './tunnel-programs.ts'

const ROUNDS = 5
const SMALL_CALLS_MS = 700
const WARM_UP_MS = 1_000
const BULK_BYTES = 256 * 2 ** 20
const SLOW_BYTES = 2 ** 30
const SLOW_REST_MS = 5
const inFlightCounts = [1, 32, 256] as const

type Way = 'direct' | 'tunnel' | 'proxy'
const ways: readonly Way[] = ['direct', 'tunnel', 'proxy']

/** One thing that is measured on every way, in every round. */
interface Measure {
  name: string
  unit: string
  run(route: Route): Promise<number>
  /** Targets of the tunnel, against the other ways. */
  targets?: { against: Way; least?: number; most?: number }[]
}

/**
 * The tunnel against the daemon's own port and against an ordinary proxy hop: every part in a process of its own,
 * the ways taking turns within each round.
 */
export async function benchTunnel(): Promise<BenchSection> {
  const front = await startProgram('tunnel-front')
  const daemon = await startProgram('tunnel-daemon', `ws://127.0.0.1:${front.port}/dial`)
  const proxy = await startProgram('tunnel-proxy', `http://127.0.0.1:${daemon.port}`)
  try {
    const routes: Record<Way, Route> = {
      direct: { origin: `http://127.0.0.1:${daemon.port}`, prefix: '' },
      tunnel: { origin: `http://127.0.0.1:${front.port}`, prefix: '/toolbox/sandbox-1' },
      proxy: { origin: `http://127.0.0.1:${proxy.port}`, prefix: '/toolbox/sandbox-1' },
    }
    for (const way of ways) await warmUp(routes[way])
    for (const program of [front, daemon, proxy]) await program.age()
    const rows: BenchRow[] = []
    for (const measure of measures()) rows.push(...(await measureRows(measure, routes)))
    rows.push(...(await memoryRows(front, routes.tunnel)))
    return { title: 'Tunnel, against direct HTTP and @fastify/http-proxy', rows }
  } finally {
    await Promise.all([proxy.stop(), daemon.stop(), front.stop()])
  }
}

async function warmUp(route: Route): Promise<void> {
  await smallCalls(route, { inFlight: 32, forMs: WARM_UP_MS })
  await download(route, BULK_BYTES / 4)
  await upload(route, BULK_BYTES / 4)
}

function measures(): Measure[] {
  const calls = inFlightCounts.map(
    (inFlight): Measure => ({
      name: `small calls, ${inFlight} in flight`,
      unit: 'calls/s',
      run: async (route) => (await smallCalls(route, { inFlight, forMs: SMALL_CALLS_MS })).perSecond,
      ...(inFlight === 256
        ? {
            targets: [
              { against: 'direct', least: 0.65 },
              { against: 'proxy', least: 3.5 },
            ],
          }
        : {}),
    }),
  )
  return [
    ...calls,
    {
      name: 'one call, p50',
      unit: 'µs',
      run: async (route) => (await smallCalls(route, { inFlight: 1, forMs: SMALL_CALLS_MS })).p50Ms * 1000,
      targets: [{ against: 'direct', most: 1.6 }],
    },
    {
      name: 'download',
      unit: 'MiB/s',
      run: (route) => download(route, BULK_BYTES),
      targets: [{ against: 'direct', least: 0.6 }],
    },
    {
      name: 'upload',
      unit: 'MiB/s',
      run: (route) => upload(route, BULK_BYTES),
      targets: [{ against: 'direct', least: 0.6 }],
    },
    {
      name: 'keystroke beside a download, p50',
      unit: 'µs',
      run: async (route) => (await keystrokes(route, 700)) * 1000,
    },
  ]
}

async function measureRows(measure: Measure, routes: Record<Way, Route>): Promise<BenchRow[]> {
  const values: Record<Way, number[]> = { direct: [], tunnel: [], proxy: [] }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) values[way].push(await measure.run(routes[way]))
  }
  const medians = { direct: median(values.direct), tunnel: median(values.tunnel), proxy: median(values.proxy) }
  const { name, unit } = measure
  const rows = ways.map(
    (way): BenchRow => ({
      name: `${name}: ${way}`,
      median: medians[way],
      unit,
      ratio: medians[way] / medians.direct,
    }),
  )
  for (const target of measure.targets ?? []) {
    const ratio = medians.tunnel / medians[target.against]
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

async function memoryRows(front: Program, route: Route): Promise<BenchRow[]> {
  await front.peakMemoryBytes()
  await slowDownload(route, { bytes: SLOW_BYTES, restMs: SLOW_REST_MS })
  const mebibytes = (await front.peakMemoryBytes()) / 2 ** 20
  return [
    {
      name: 'memory of the front while 1 GiB meets a slow reader, peak',
      median: mebibytes,
      unit: 'MiB',
      target: '< 150',
      ok: mebibytes < 150,
    },
  ]
}
