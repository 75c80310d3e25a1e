import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { RunningAtoll } from '@atoll/dev-env'
import { WebSocket } from 'ws'
import type { BenchRow, BenchSection } from './bench-section.ts'
import { compareInTurn } from './measure.ts'
import type { SystemClient } from './system.ts'

const ROUNDS = 5
const BYTES = 100_000_000
/** The command that prints lines of 80 bytes; the marks of the log add a few bytes to each. */
const MAKE_FILE = `yes ${'0123456789'.repeat(8).slice(1)} | head -c ${BYTES}`
const TARGET_RATIO = 0.5
const TARGET_MB = 150
const VERSION = '0.218.0'
const SESSION = 'bench'
/** The row that has the target. */
const FOLLOWED = 1

/** Compares the output of a command sent to a follower with the same bytes from a local pipe. */
export async function benchFollow(atoll: RunningAtoll, client: SystemClient): Promise<BenchSection> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  const sandboxId = await client.createSandbox()
  const root = `/api/toolbox/${sandboxId}/toolbox`
  try {
    await promisify(execFile)('sh', ['-c', `${MAKE_FILE} > ${folder}/output`])
    await client.execute(sandboxId, `${MAKE_FILE} > /tmp/output`)
    await client.call('POST', `${root}/process/session`, { body: { sessionId: SESSION } })
    const follow = async () => {
      const started = await client.call('POST', `${root}/process/session/${SESSION}/exec`, {
        body: { command: 'cat /tmp/output', runAsync: true },
      })
      const id = readId(started)
      await followed(atoll, `${root}/process/session/${SESSION}/command/${id}/logs?follow=true`)
    }
    const times = await compareInTurn(ROUNDS, [
      { name: 'cat, through a local pipe', run: () => readLocally(join(folder, 'output')) },
      { name: 'followed over a WebSocket', run: follow },
      {
        name: 'downloaded as a file, for comparison',
        run: () => download(atoll, `${root}/files/download?path=/tmp/output`),
      },
    ])
    const memory = residentMb(await client.execute(sandboxId, 'grep VmHWM /proc/$PPID/status'))
    return {
      title: `${BYTES / 1e6} MB of output, in lines of 80 bytes`,
      rows: [...throughput(times), { name: 'most memory of the toolbox', ...memory }],
    }
  } finally {
    await client.deleteSandbox(sandboxId)
    await rm(folder, { recursive: true })
  }
}

function throughput(times: readonly BenchRow[]): BenchRow[] {
  const [local = Number.NaN] = times.map(({ median }) => median)
  return times.map(({ name, median }, index) => {
    const ratio = local / median
    const row = { name, median: BYTES / 1e3 / median, unit: 'MB/s', ratio }
    return index !== FOLLOWED ? row : { ...row, target: `≥ ${TARGET_RATIO} of cat`, ok: ratio >= TARGET_RATIO }
  })
}

function residentMb(line: string): Omit<BenchRow, 'name'> {
  const median = Number(/(\d+) kB/.exec(line)?.[1]) * 1.024e-3
  return { median, unit: 'MB', target: `< ${TARGET_MB} MB`, ok: median < TARGET_MB }
}

async function readLocally(path: string): Promise<void> {
  const child = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] })
  let received = 0
  for await (const chunk of child.stdout) received += chunk.length
  if (received !== BYTES) throw new Error(`received ${received} bytes of ${BYTES}`)
}

/** Downloads the file, which shows how fast bulk data passes the API and the tunnel. */
async function download(atoll: RunningAtoll, path: string): Promise<void> {
  const response = await fetch(`${atoll.url}${path}`, { headers: { authorization: `Bearer ${atoll.apiKey}` } })
  let received = 0
  for await (const chunk of response.body ?? []) received += chunk.length
  if (received !== BYTES) throw new Error(`received ${received} bytes of ${BYTES}`)
}

/** Follows the log until the server closes, and counts every byte except the marks. */
async function followed(atoll: RunningAtoll, path: string): Promise<void> {
  const socket = new WebSocket(`${atoll.url.replace(/^http/, 'ws')}${path}`, {
    headers: { authorization: `Bearer ${atoll.apiKey}`, 'x-daytona-sdk-version': VERSION },
    perMessageDeflate: false,
  })
  let received = 0
  socket.on('message', (data: Buffer) => {
    received += data.length
  })
  const code = await new Promise<number>((resolve, reject) => socket.once('close', resolve).once('error', reject))
  if (code !== 1000 || received < BYTES) throw new Error(`closed with ${code} after ${received} bytes`)
}

function readId(answer: unknown): string {
  const id = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'cmdId') : undefined
  if (typeof id !== 'string') throw new Error('no cmdId in the answer')
  return id
}
