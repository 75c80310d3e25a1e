import type { Sandbox } from '@daytonaio/sdk'
import type { BenchSection } from './bench-section.ts'
import type { DockerEngine } from './docker-engine.ts'
import type { LifeClient } from './life-client.ts'
import type { Contender } from './measure.ts'
import { againstFirst, compareInTurn, SETTLE_MS } from './measure.ts'
import { startWarmSystem } from './warm-system.ts'

const ROUNDS = 20
const TARGET_COLD = 0.5
const TARGET_WARM = 0.1
const POOL_MEMBERS = 2

/** Measures the time from the create of a sandbox to its first command's result; its removal is not measured. */
export async function benchCreate(
  checkout: string,
  life: LifeClient,
  engine: DockerEngine | undefined,
): Promise<BenchSection> {
  await using warm = await startWarmSystem(checkout, POOL_MEMBERS)
  await warm.untilFull()
  const docker: Contender[] = engine ? [{ name: 'docker run --rm IMAGE true', run: () => engine.run('true') }] : []
  const contenders = [
    ...docker,
    createAndExecute('create, execute: cold', life, async () => undefined),
    createAndExecute('create, execute: from a warm pool', warm.life, () => warm.untilFull()),
  ]
  const rows = await compareInTurn(ROUNDS, contenders, { settleMs: SETTLE_MS })
  return {
    title: `create to first result${engine ? '' : ' (no Docker Engine runs here)'}`,
    rows: engine ? againstFirst(rows, [undefined, TARGET_COLD, TARGET_WARM]) : rows,
  }
}

function createAndExecute(name: string, life: LifeClient, settle: () => Promise<unknown>): Contender {
  const made: Sandbox[] = []
  return {
    name,
    run: async () => {
      const sandbox = await life.create()
      made.push(sandbox)
      await life.execute(sandbox, 'true')
    },
    after: async () => {
      await life.remove(made.splice(0))
      await settle()
    },
  }
}
