import type { BenchSection } from './bench-section.ts'
import type { DockerEngine } from './docker-engine.ts'
import type { LifeClient } from './life-client.ts'
import { againstFirst, compareInTurn } from './measure.ts'

const ROUNDS = 15
const TARGET = 0.5

/** Measures a stop and a start, one after the other. */
export async function benchStopStart(life: LifeClient, engine: DockerEngine | undefined): Promise<BenchSection> {
  const sandbox = await life.create()
  try {
    const rows = await compareInTurn(ROUNDS, [
      ...(engine ? [{ name: 'docker stop -t 0, docker start', run: () => engine.stopAndStart() }] : []),
      {
        name: 'stop, start',
        run: async () => {
          await sandbox.stop()
          await sandbox.start()
        },
      },
    ])
    return {
      title: `stop and start${engine ? '' : ' (no Docker Engine runs here)'}`,
      rows: engine ? againstFirst(rows, [undefined, TARGET]) : rows,
    }
  } finally {
    await life.remove([sandbox])
  }
}
