import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import type { BenchSection } from './bench-section.ts'
import { resetPeakMemory, residentMb } from './process-memory.ts'
import type { SystemClient } from './system.ts'

const FILE_BYTES = 1024 * 1024 * 1024
const MIB = 1024 * 1024
/** The reader takes nothing at first, so that all buffers on the way fill up; then it pauses after every 16 MiB. */
const STALL_MS = 5_000
const PAUSE_EVERY_BYTES = 16 * MIB
const PAUSE_MS = 100
const TARGET_MB = 150

/** Measures the API's memory while a sandbox sends 1 GiB to a client that reads slowly. */
export async function benchMemory(atoll: RunningAtoll, client: SystemClient): Promise<BenchSection> {
  const sandboxId = await client.createSandbox()
  await client.execute(sandboxId, `truncate -s ${FILE_BYTES} /tmp/large`)
  const { api } = atoll.pids()
  const before = residentMb(api, 'VmRSS')
  resetPeakMemory(api)
  const received = await readSlowly(atoll, `/api/toolbox/${sandboxId}/toolbox/files/download?path=/tmp/large`)
  const peak = residentMb(api, 'VmHWM')
  await client.deleteSandbox(sandboxId)
  if (received !== FILE_BYTES) throw new Error(`received ${received} bytes of ${FILE_BYTES}`)
  return {
    title: 'resident memory of the API, a 1 GiB download meeting a slow reader',
    rows: [
      { name: 'before', median: before, unit: 'MB' },
      { name: 'most during', median: peak, unit: 'MB', target: `< ${TARGET_MB} MB`, ok: peak < TARGET_MB },
    ],
  }
}

async function readSlowly(atoll: RunningAtoll, path: string): Promise<number> {
  const incoming = await new Promise<AsyncIterable<Buffer>>((resolve, reject) => {
    const outgoing = request(`${atoll.url}${path}`, { headers: { authorization: `Bearer ${atoll.apiKey}` } })
    outgoing.once('response', resolve).once('error', reject).end()
  })
  await delay(STALL_MS)
  let received = 0
  let untilPause = PAUSE_EVERY_BYTES
  for await (const piece of incoming) {
    received += piece.length
    untilPause -= piece.length
    if (untilPause > 0) continue
    untilPause = PAUSE_EVERY_BYTES
    await delay(PAUSE_MS)
  }
  return received
}
