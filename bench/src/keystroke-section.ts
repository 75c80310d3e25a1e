import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import { WebSocket } from 'ws'
import type { BenchRow, BenchSection } from './bench-section.ts'
import { median, percentile } from './measure.ts'
import type { SystemClient } from './system.ts'
import type { Program } from './tunnel-programs.ts'
import { startProgram } from './tunnel-programs.ts'

const ROUNDS = 7
const KEYSTROKES = 400
/** The pause from an echo to the next key: shorter than a person's, so that a round is short. */
const PAUSE_MS = 5
const ECHO_DEADLINE_MS = 10_000
const FILE_BYTES = 256 * 1024 * 1024
const FILE = '/tmp/bulk'
/** The rate of a client with a network of 1 Gbit/s. */
const GIGABIT_BYTES_PER_SECOND = 125_000_000
const TARGET_RATIO = 3
/** The command that echoes its input; the terminal's own echo is off. */
const PROGRAM = 'stty raw -echo; echo begins; exec cat\r'

/** A load that runs beside the keystrokes. */
interface Company {
  name: string
  target?: boolean
  start(): Promise<Pick<Program, 'stop'>>
}

/**
 * Measures the round trip of a key to a program in a terminal: with no other load, beside a download from the same sandbox,
 * and beside a download through as many processes without Atoll, which shows the share of the machine itself.
 */
export async function benchKeystrokes(atoll: RunningAtoll, client: SystemClient): Promise<BenchSection> {
  const sandboxId = await client.createSandbox()
  const root = `${atoll.url}/api/toolbox/${sandboxId}/toolbox`
  const daemon = await startProgram('tunnel-daemon')
  const pipe = await startProgram('tunnel-pipe', { args: [String(daemon.port)] })
  try {
    await client.execute(sandboxId, `head -c ${FILE_BYTES} /dev/zero > ${FILE}`)
    const terminal = await openTerminal(atoll, `${root}/process/pty/create-connect?id=bench`)
    const download = (...limit: string[]) => {
      const args = [`${root}/files/download?path=${FILE}`, atoll.apiKey, ...limit]
      return startProgram('bulk-reader', { args })
    }
    const endless = `/download?bytes=${Number.MAX_SAFE_INTEGER}`
    const rows = await inTurn(terminal, [
      { name: 'idle', start: async () => ({ stop: async () => {} }) },
      { name: 'beside a download at 1 Gbit/s', target: true, start: () => download(String(GIGABIT_BYTES_PER_SECOND)) },
      { name: 'beside a download at full speed', target: true, start: () => download() },
      {
        name: 'beside one that is not through Atoll',
        start: () => startProgram('tunnel-bulk', { args: [`http://127.0.0.1:${pipe.port}`, endless] }),
      },
    ])
    terminal.close()
    return { title: `a keystroke's echo from a terminal, ${ROUNDS} rounds of ${KEYSTROKES}`, rows }
  } finally {
    await pipe.stop()
    await daemon.stop()
    await client.deleteSandbox(sandboxId)
  }
}

async function inTurn(terminal: Terminal, companies: readonly Company[]): Promise<BenchRow[]> {
  const measured = companies.map((company) => ({ ...company, p50: [] as number[], p99: [] as number[] }))
  await pressMany(terminal)
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { start, p50, p99 } of measured) {
      const company = await start()
      const times = await pressMany(terminal)
      await company.stop()
      p50.push(median(times))
      p99.push(percentile(times, 0.99))
    }
  }
  return [
    ...measured.map(({ name, p50 }) => ({ name: `p50 ${name}`, median: median(p50), unit: 'ms' })),
    ...measured.map(({ name, target, p99 }) => {
      const ratio = median(p99) / median(measured[0]?.p99 ?? [])
      const row = { name: `p99 ${name}`, median: median(p99), unit: 'ms', ratio }
      return target ? { ...row, target: `≤ ${TARGET_RATIO} of idle`, ok: ratio <= TARGET_RATIO } : row
    }),
  ]
}

interface Terminal {
  /** Sends a key and resolves when it is echoed. */
  press(): Promise<void>
  close(): void
}

async function openTerminal(atoll: RunningAtoll, url: string): Promise<Terminal> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), {
    headers: { authorization: `Bearer ${atoll.apiKey}` },
    perMessageDeflate: false,
  })
  await once(socket, 'open')
  const output = { text: '', heard: () => {} }
  socket.on('message', (data: Buffer) => {
    output.text += data.toString('latin1')
    output.heard()
  })
  socket.on('close', () => output.heard())
  const hear = async (words: string) => {
    const timer = setTimeout(() => socket.terminate(), ECHO_DEADLINE_MS)
    while (!output.text.endsWith(words)) {
      if (socket.readyState !== WebSocket.OPEN) throw new Error(`no echo; last came ${output.text.slice(-200)}`)
      await new Promise<void>((resolve) => {
        output.heard = resolve
      })
    }
    clearTimeout(timer)
    output.text = ''
  }
  socket.send(PROGRAM)
  await hear('begins\n')
  return {
    async press() {
      socket.send('k')
      await hear('k')
    },
    close: () => socket.terminate(),
  }
}

/** Presses many keys and returns the milliseconds of each. */
async function pressMany(terminal: Terminal): Promise<number[]> {
  const times: number[] = []
  for (let key = 0; key < KEYSTROKES; key += 1) {
    const startedAt = performance.now()
    await terminal.press()
    times.push(performance.now() - startedAt)
    await delay(PAUSE_MS)
  }
  return times
}
