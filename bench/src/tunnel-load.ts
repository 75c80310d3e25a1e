import { performance } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import { median } from './measure.ts'
import { startProgram } from './tunnel-programs.ts'

/** The size of a download that lasts until it is stopped. */
const ENDLESS_BYTES = 2 ** 40

/** The pause of the slow reader, in milliseconds. */
const SLOW_REST_MS = 5

const CHUNK = Buffer.alloc(64 * 1024, 'u')

/** The origin and the path prefix of one way to the daemon. */
export interface Route {
  origin: string
  prefix: string
}

/** Returns the median time, in microseconds, of the calls made in `forMs`, one at a time. */
export async function oneCall(route: Route, forMs: number): Promise<number> {
  const pool = new Pool(route.origin, { connections: 1 })
  const times: number[] = []
  const until = performance.now() + forMs
  for (let now = performance.now(); now < until; ) {
    const { body } = await pool.request({ method: 'GET', path: `${route.prefix}/small` })
    await body.text()
    const done = performance.now()
    times.push(done - now)
    now = done
  }
  await pool.destroy()
  return median(times) * 1000
}

/** Returns the MiB a second of one download. */
export async function download(route: Route, bytes: number): Promise<number> {
  const pool = new Pool(route.origin, { connections: 1 })
  const start = performance.now()
  await drainDownload(pool, downloadPath(route, bytes))
  const seconds = (performance.now() - start) / 1000
  await pool.destroy()
  return bytes / 2 ** 20 / seconds
}

/** Returns the MiB a second of one upload. */
export async function upload(route: Route, bytes: number): Promise<number> {
  const pool = new Pool(route.origin, { connections: 1 })
  let left = bytes
  const source = new Readable({
    highWaterMark: 4 * CHUNK.length,
    read() {
      if (left <= 0) {
        this.push(null)
        return
      }
      left -= CHUNK.length
      this.push(CHUNK)
    },
  })
  const start = performance.now()
  const { body } = await pool.request({
    method: 'POST',
    path: `${route.prefix}/upload`,
    headers: { 'content-length': String(bytes), 'content-type': 'application/octet-stream' },
    body: source,
  })
  await body.text()
  const seconds = (performance.now() - start) / 1000
  await pool.destroy()
  return bytes / 2 ** 20 / seconds
}

/** Returns the median time, in microseconds, of a one-byte exchange while a download runs on the same way. */
export async function keystrokes(route: Route, forMs: number): Promise<number> {
  const bulk = await startProgram('tunnel-bulk', { args: [route.origin, downloadPath(route, ENDLESS_BYTES)] })
  const pool = new Pool(route.origin, { connections: 1 })
  const times: number[] = []
  const until = performance.now() + forMs
  while (performance.now() < until) {
    const start = performance.now()
    const { body } = await pool.request({
      method: 'POST',
      path: `${route.prefix}/echo`,
      headers: { 'content-type': 'application/octet-stream' },
      body: 'k',
    })
    await body.text()
    times.push(performance.now() - start)
    // A person, or an agent that reads, pauses between keys.
    await sleep(5)
  }
  await pool.destroy()
  await bulk.stop()
  return median(times) * 1000
}

/** Returns the seconds that a reader takes for `bytes` if it pauses after each MiB. */
export async function slowDownload(route: Route, bytes: number): Promise<number> {
  const start = performance.now()
  const pool = new Pool(route.origin, { connections: 1 })
  const { body } = await pool.request({ method: 'GET', path: downloadPath(route, bytes) })
  let sinceRest = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    sinceRest += chunk.length
    if (sinceRest < 2 ** 20) continue
    sinceRest = 0
    await sleep(SLOW_REST_MS)
  }
  await pool.destroy()
  return (performance.now() - start) / 1000
}

async function drainDownload(pool: Pool, path: string): Promise<void> {
  const { body } = await pool.request({ method: 'GET', path })
  body.on('data', () => {})
  await new Promise<void>((resolve, reject) => {
    body.once('end', resolve)
    body.once('error', reject)
  })
}

function downloadPath(route: Route, bytes: number): string {
  return `${route.prefix}/download?bytes=${bytes}`
}
