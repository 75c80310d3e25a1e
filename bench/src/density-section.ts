import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import { findLeftovers, startAtoll } from '@atoll/dev-env'
import type { BenchRow, BenchSection } from './bench-section.ts'
import { benchBareProcesses } from './density-bare.ts'
import { type Call, type CallTimes, timeCalls } from './density-calls.ts'
import { drawDensity } from './density-drawing.ts'
import { type DensityPoint, MAX_CALL_RATIO, MAX_SANDBOX_MB } from './density-point.ts'
import { measureRestarts } from './density-restarts.ts'
import type { Part, SystemUse } from './density-use.ts'
import { parts, readSystemUse } from './density-use.ts'
import { percentile } from './measure.ts'
import type { SystemClient } from './system.ts'
import { createSystemClient } from './system.ts'

/** The numbers of sandboxes at which measurements are taken. */
const ALL_POINTS = [1, 50, 100, 200, 300, 400, 500]
/** The largest number of sandboxes; to be set lower on a smaller machine. */
const MOST = Number(process.env['ATOLL_BENCH_SANDBOXES'] ?? 500)
const POINTS = ALL_POINTS.filter((point) => point <= MOST)
const CREATES_AT_ONCE = 8
/** The wait until the last sandbox is idle: its Node has freed the memory it needed to start. */
const SETTLE_MS = 10_000
const IDLE_MS = 5_000
/** The memory, in MB for each sandbox, that must be free before the first create: 1.5 times the target. */
const NEEDED_MB = 30
/** The path of the drawing, below the checkout. */
const DRAWING = 'docs/idle-sandboxes.svg'

/**
 * Measures a machine with 1 to 500 idle sandboxes: memory, processor time, and a small call; then the ends and restarts of
 * a system that has 500. Draws the curves into the documentation. Throws if there is too little memory.
 */
export async function benchDensity(checkout: string): Promise<BenchSection> {
  const bare = await benchBareProcesses(checkout)
  await using lone = await startAtoll({ checkout })
  const loneClient = createSystemClient(lone)
  const atoll = await startAtoll({ checkout })
  const client = createSystemClient(atoll)
  try {
    requireMemory(readSystemUse(atoll))
    const alone = smallCall(loneClient, await createIdle(loneClient))
    const ids: string[] = []
    const points: DensityPoint[] = []
    for (const sandboxes of POINTS) {
      const createMs = await createUpTo(sandboxes, client, ids)
      points.push(await measurePoint({ atoll, client, ids, alone, createMs, first: points[0] }))
      console.log(describePoint(points.at(-1)))
    }
    const restarts = await measureRestarts(atoll, client, ids)
    const startedAt = performance.now()
    await atoll.stop()
    const stopMs = performance.now() - startedAt
    const left = findLeftovers(atoll.dataDir)
    const drawing = join(checkout, DRAWING)
    mkdirSync(dirname(drawing), { recursive: true })
    writeFileSync(drawing, drawDensity(points))
    const rows = [...bareRows(bare), ...points.flatMap((point) => rowsOf(point, points[0])), ...restarts]
    rows.push({
      name: 'stop of the system with all of them',
      median: stopMs,
      unit: 'ms',
      target: '≤ 10 s',
      ok: stopMs <= 10_000,
    })
    rows.push({ name: '… what it left on the host', median: left.length, unit: '', target: '0', ok: left.length === 0 })
    return { title: `up to ${POINTS.at(-1)} idle sandboxes (drawn in ${DRAWING})`, rows }
  } finally {
    loneClient.close()
    client.close()
    await atoll[Symbol.asyncDispose]()
  }
}

function requireMemory({ availableMb }: SystemUse): void {
  const neededMb = NEEDED_MB * MOST
  if (availableMb >= neededMb) return
  throw new Error(
    `${Math.round(availableMb)} MB of memory are available, and ${MOST} sandboxes are tried with ${neededMb}`,
  )
}

/** Creates sandboxes until there are `count`; returns the mean time of a create, in milliseconds. */
async function createUpTo(count: number, client: SystemClient, ids: string[]): Promise<number> {
  let missing = count - ids.length
  const times: number[] = []
  const create = async () => {
    while (missing > 0) {
      missing -= 1
      const startedAt = performance.now()
      const id = await createIdle(client)
      times.push(performance.now() - startedAt)
      ids.push(id)
    }
  }
  await Promise.all(Array.from({ length: CREATES_AT_ONCE }, create))
  return times.reduce((sum, time) => sum + time, 0) / times.length
}

async function createIdle(client: SystemClient): Promise<string> {
  const made = await client.call('POST', '/api/sandbox', { body: { autoStopInterval: 0 } })
  return String(Reflect.get(made as object, 'id'))
}

function smallCall(client: SystemClient, id: string): Call {
  return () => client.get(id, 'files/info?path=/tmp')
}

async function measurePoint(options: {
  atoll: RunningAtoll
  client: SystemClient
  ids: readonly string[]
  alone: Call
  createMs: number
  first: DensityPoint | undefined
}): Promise<DensityPoint> {
  const { atoll, client, ids, alone, createMs, first } = options
  await delay(SETTLE_MS)
  const before = readSystemUse(atoll)
  const startedAt = performance.now()
  await delay(IDLE_MS)
  const use = readSystemUse(atoll)
  const seconds = (performance.now() - startedAt) / 1000
  const many = ids.map((id) => smallCall(client, id))
  const calls = await timeCalls(alone, many)
  const { toolbox, init, monitor } = use.parts
  return {
    ...{ sandboxes: ids.length, use, createMs, ...calls },
    idleCpuMs: Object.fromEntries(
      parts.map((part) => [part, (use.parts[part].cpuMs - before.parts[part].cpuMs) / seconds]),
    ) as DensityPoint['idleCpuMs'],
    privateMb: (toolbox.privateMb + init.privateMb + monitor.privateMb) / ids.length,
    wholeMb: first === undefined ? Number.NaN : grown(use, first) / (ids.length - first.sandboxes),
    availableMb:
      first === undefined ? Number.NaN : (first.use.availableMb - use.availableMb) / (ids.length - first.sandboxes),
  }
}

function sumOverParts(of: (part: Part) => number): number {
  return parts.reduce((sum, part) => sum + of(part), 0)
}

function grown(use: SystemUse, first: DensityPoint): number {
  const whole = ({ parts, kernelMb }: SystemUse) => sumOverParts((part) => parts[part].shareMb) + kernelMb
  return whole(use) - whole(first.use)
}

function bareRows({ alone, each }: CallTimes): BenchRow[] {
  const [same, turn] = [percentile(alone, 0.5), percentile(each, 0.5)]
  return [
    { name: 'bare Node processes called directly: one, p50', median: same, unit: 'ms', ratio: 1 },
    { name: '… each of 100 in turn, p50', median: turn, unit: 'ms', ratio: turn / same },
  ]
}

function rowsOf(point: DensityPoint, first: DensityPoint | undefined): BenchRow[] {
  const many = point === first || first === undefined ? undefined : first
  const name = `${point.sandboxes}: `
  const calls = (['one', 'each'] as const).map((kind): BenchRow => {
    const p50 = percentile(point[kind], 0.5)
    const ratio = p50 / percentile(point.alone, 0.5)
    // Calling a process that has not run for a while has a cost of the machine itself, also with bare Node: no target.
    const bound = many && kind === 'one' && { target: `≤ ${MAX_CALL_RATIO}`, ok: ratio <= MAX_CALL_RATIO }
    return {
      name: `${name}call to ${kind === 'one' ? 'one' : 'each in turn'}, p50`,
      median: p50,
      unit: 'ms',
      ratio,
      ...bound,
    }
  })
  const memory: BenchRow[] = many
    ? [
        { name: `${name}private memory of one`, median: point.privateMb, unit: 'MB' },
        {
          ...{ name: `${name}growth of everything, for each`, median: point.wholeMb, unit: 'MB' },
          ...{ target: `≤ ${MAX_SANDBOX_MB} MB`, ok: point.wholeMb <= MAX_SANDBOX_MB },
        },
        { name: `${name}… as the machine's available memory shrank`, median: point.availableMb, unit: 'MB' },
      ]
    : []
  return [
    ...memory,
    {
      name: `${name}processor time at rest, a second`,
      median: sumOverParts((part) => point.idleCpuMs[part]),
      unit: 'ms',
    },
    { name: `${name}create, ${CREATES_AT_ONCE} at a time, mean`, median: point.createMs, unit: 'ms' },
    {
      name: `${name}call to the only one of another system, p50`,
      median: percentile(point.alone, 0.5),
      unit: 'ms',
      ratio: 1,
    },
    ...calls,
    { name: `${name}… to one, p99`, median: percentile(point.one, 0.99), unit: 'ms' },
    { name: `${name}… to each, p99`, median: percentile(point.each, 0.99), unit: 'ms' },
  ]
}

/** Returns a line that shows the progress. */
function describePoint(point: DensityPoint | undefined): string {
  if (point === undefined) return ''
  const { use, idleCpuMs } = point
  const each = parts.map((part) => {
    const { processes, shareMb } = use.parts[part]
    return `${part} ${processes}: ${shareMb.toFixed(0)} MB ${idleCpuMs[part].toFixed(0)} ms/s`
  })
  return `  ${point.sandboxes}: ${each.join(', ')}, kernel ${use.kernelMb.toFixed(0)} MB, ${point.wholeMb.toFixed(1)} MB each`
}
