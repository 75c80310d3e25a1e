import { spawn } from 'node:child_process'
import { boundToRunner, commandEnvironment } from '../../../run-command.ts'
import type { MakeContext } from './make-context.ts'
import { SnapshotError } from './make-context.ts'
import { forEachLine } from './output-lines.ts'

/** Number of a program's last lines in the error message of its failure. */
const TOLD_LINES = 3
const MAX_REASON_CHARACTERS = 1_000

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
  const take = (line: string) => {
    const shown = options.secrets.reduce((text, secret) => (secret === '' ? text : text.replaceAll(secret, '…')), line)
    log.append(shown)
    last.push(shown)
    if (last.length > TOLD_LINES) last.shift()
  }
  for (const stream of [child.stdout, child.stderr]) forEachLine(stream, { take, skip: (bytes) => log.skip(bytes) })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code === 0) return
  throw new SnapshotError(`${name} failed: ${last.join('; ').slice(0, MAX_REASON_CHARACTERS) || `exit ${code}`}`)
}
