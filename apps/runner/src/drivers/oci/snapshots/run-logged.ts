import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { boundToRunner, commandEnvironment } from '../../../run-command.ts'
import type { MakeContext } from './make-context.ts'
import { SnapshotError } from './make-context.ts'

/** Number of a program's last lines in the error message of its failure. */
const TOLD_LINES = 3
const MAX_REASON_CHARACTERS = 1_000
const MAX_LINE_BYTES = 8_192

/** Runs a program, logging its lines. Throws SnapshotError with its last lines unless it exits 0. Ends with the making. */
export async function runLogged(
  { log, signal }: Pick<MakeContext, 'log' | 'signal'>,
  options: { argv: readonly [string, ...string[]]; env: Record<string, string>; secrets: readonly string[] },
): Promise<void> {
  const [name] = options.argv
  const [program, ...args] = boundToRunner(options.argv)
  const env = { ...commandEnvironment(), ...options.env }
  const child = spawn(program, args, {
    cwd: '/',
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  })
  const last: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    forEachLine(stream, (line) => {
      const shown = options.secrets.reduce(
        (text, secret) => (secret === '' ? text : text.replaceAll(secret, '…')),
        line,
      )
      log.append(shown)
      last.push(shown)
      if (last.length > TOLD_LINES) last.shift()
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code === 0) return
  throw new SnapshotError(`${name} failed: ${last.join('; ').slice(0, MAX_REASON_CHARACTERS) || `exit ${code}`}`)
}

/** Calls `take` with each line of a stream; a line longer than MAX_LINE_BYTES comes in pieces. */
export function forEachLine(stream: Readable, take: (line: string) => void): void {
  let rest = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      const end = rest.indexOf(0x0a)
      if (end < 0 && rest.length < MAX_LINE_BYTES) return
      const line = rest.subarray(0, end < 0 ? MAX_LINE_BYTES : Math.min(end, MAX_LINE_BYTES))
      take(line.toString('utf8'))
      rest = rest.subarray(line.length + (end === line.length ? 1 : 0))
    }
  })
  stream.on('end', () => {
    if (rest.length > 0) take(rest.toString('utf8'))
  })
}
