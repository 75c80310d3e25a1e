import type { BenchSection } from './bench-section.ts'
import type { DockerEngine } from './docker-engine.ts'
import { compareInTurn } from './measure.ts'
import type { SystemClient } from './system.ts'

const ROUNDS = 20
const COMMAND = 'echo hello'

/** From nothing to the first command's output; taking it away again is not measured. */
export async function benchCreate(client: SystemClient, engine: DockerEngine | undefined): Promise<BenchSection> {
  const made: string[] = []
  const createAndExecute = async () => {
    const id = await client.createSandbox()
    made.push(id)
    await client.execute(id, COMMAND)
  }
  const rows = await compareInTurn(ROUNDS, [
    { name: 'create a sandbox, execute', run: createAndExecute },
    ...(engine ? [{ name: 'docker run --rm', run: () => engine.run(COMMAND) }] : []),
  ])
  for (const id of made) await client.deleteSandbox(id)
  return { title: `create to first result${engine ? '' : ' (no Docker Engine runs here)'}`, rows }
}
