import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { BenchSection } from './bench-section.ts'
import type { DockerEngine } from './docker-engine.ts'
import { compareInTurn } from './measure.ts'
import type { SystemClient } from './system.ts'

const execute = promisify(execFile)
const ROUNDS = 100
const COMMAND = 'echo hello'

/** Compares a command in a running sandbox, as the client measures it, with the same command without a sandbox. */
export async function benchExec(client: SystemClient, engine: DockerEngine | undefined): Promise<BenchSection> {
  const sandboxId = await client.createSandbox()
  const rows = await compareInTurn(ROUNDS, [
    { name: 'local spawn', run: () => execute('/bin/sh', ['-c', COMMAND]) },
    { name: 'process/execute over REST', run: () => client.execute(sandboxId, COMMAND) },
    ...(engine ? [{ name: 'docker exec', run: () => engine.exec(COMMAND) }] : []),
  ])
  await client.deleteSandbox(sandboxId)
  return { title: `sh -c '${COMMAND}'${engine ? '' : ' (no Docker Engine runs here)'}`, rows }
}
