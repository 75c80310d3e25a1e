import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import type { BenchRow, BenchSection } from './bench-section.ts'
import { resetPeakMemory, residentMb } from './process-memory.ts'
import type { SystemClient } from './system.ts'
import { findToolbox } from './toolbox-process.ts'

const GIB = 1024 ** 3
const FILE_BYTES = 10 * GIB
/** The disk's size: the file, and the needs of its file system. */
const DISK_GIB = 12
const BLOCK_BYTES = 64 * 1024
const BLOCKS = FILE_BYTES / BLOCK_BYTES
const FILE = '/home/daytona/large'
const TARGET_MB = 150
const BOUNDARY = 'bench-transfer-boundary'

/** Uploads a file of 10 GiB to a sandbox and downloads it, checks every byte, and measures the memory on the way. */
export async function benchTransfer(atoll: RunningAtoll, client: SystemClient): Promise<BenchSection> {
  const sandboxId = await client.createSandboxWithDisk(DISK_GIB)
  try {
    const pids = { API: atoll.pids().api, toolbox: await findToolbox(sandboxId) }
    const root = `/api/toolbox/${sandboxId}/toolbox/files`
    const up = await measured('up', pids, () => upload(atoll, `${root}/upload?path=${FILE}`))
    const down = await measured('down', pids, () => download(atoll, `${root}/download?path=${FILE}`))
    return { title: `a file of ${FILE_BYTES / GIB} GiB up and down, every byte checked`, rows: [...up, ...down] }
  } finally {
    await client.deleteSandbox(sandboxId)
  }
}

async function measured(name: string, pids: Record<string, number>, run: () => Promise<void>): Promise<BenchRow[]> {
  for (const pid of Object.values(pids)) resetPeakMemory(pid)
  const startedAt = performance.now()
  await run()
  const seconds = (performance.now() - startedAt) / 1e3
  const memory = Object.entries(pids).map(([part, pid]) => {
    const median = residentMb(pid, 'VmHWM')
    const verdict = { target: `< ${TARGET_MB} MB`, ok: median < TARGET_MB }
    return { name: `${name}: most memory of the ${part}`, median, unit: 'MB', ...verdict }
  })
  return [{ name, median: FILE_BYTES / 1e6 / seconds, unit: 'MB/s' }, ...memory]
}

async function upload(atoll: RunningAtoll, path: string): Promise<void> {
  const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="large"\r\n\r\n`
  const tail = `\r\n--${BOUNDARY}--\r\n`
  const outgoing = request(`${atoll.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${atoll.apiKey}`,
      'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
      'content-length': head.length + FILE_BYTES + tail.length,
    },
  })
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
  const body = function* () {
    yield Buffer.from(head)
    for (let index = 0; index < BLOCKS; index += 1) yield block(index)
    yield Buffer.from(tail)
  }
  await pipeline(Readable.from(body()), outgoing)
  const [answer] = await answered
  if (answer.statusCode !== 200) throw new Error(`upload: status ${answer.statusCode}`)
  answer.resume()
}

async function download(atoll: RunningAtoll, path: string): Promise<void> {
  const outgoing = request(`${atoll.url}${path}`, { headers: { authorization: `Bearer ${atoll.apiKey}` } }).end()
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  if (answer.statusCode !== 200) throw new Error(`download: status ${answer.statusCode}`)
  let received = 0
  let wanted = block(0)
  for await (const piece of answer as AsyncIterable<Buffer>) {
    for (let at = 0; at < piece.length; ) {
      const from = received % BLOCK_BYTES
      const length = Math.min(piece.length - at, BLOCK_BYTES - from)
      if (wanted.compare(piece, at, at + length, from, from + length) !== 0)
        throw new Error(`other bytes at ${received}`)
      at += length
      received += length
      if (received % BLOCK_BYTES === 0) wanted = block(received / BLOCK_BYTES)
    }
  }
  if (received !== FILE_BYTES) throw new Error(`received ${received} bytes of ${FILE_BYTES}`)
}

/** Returns a block that differs from that of any other index. */
function block(index: number): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES, index & 0xff)
  bytes.writeUInt32LE(index)
  return bytes
}
