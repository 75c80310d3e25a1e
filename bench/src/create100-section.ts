import type { Sandbox } from '@daytonaio/sdk'
import type { BenchSection } from './bench-section.ts'
import type { DockerEngine } from './docker-engine.ts'
import type { LifeClient } from './life-client.ts'
import type { Contender } from './measure.ts'
import { againstFirst, compareInTurn } from './measure.ts'
import { startWarmSystem } from './warm-system.ts'

const ROUNDS = 3
const AT_ONCE = 100
/** The highest ratio: five times faster. */
const TARGET = 0.2

/** Measures the time from the create of many sandboxes at once until the last has started. */
export async function benchCreateMany(
  checkout: string,
  life: LifeClient,
  engine: DockerEngine | undefined,
): Promise<BenchSection> {
  await using warm = await startWarmSystem(checkout, AT_ONCE)
  await warm.untilFull()
  const docker = engine ? [{ name: 'docker run --rm IMAGE true', run: () => all(() => engine.run('true')) }] : []
  const rows = await compareInTurn(
    ROUNDS,
    [
      ...docker,
      ...createMany('cold', life, async () => undefined),
      ...createMany(`from a warm pool of ${AT_ONCE}`, warm.life, () => warm.untilFull()),
    ],
    { unmeasuredRounds: 0 },
  )
  return {
    title: `${AT_ONCE} at once, until the last${engine ? '' : ' (no Docker Engine runs here)'}`,
    rows: engine ? againstFirst(rows, [undefined, TARGET, undefined, TARGET]) : rows,
  }
}

function all<Result>(run: () => Promise<Result>): Promise<Result[]> {
  return Promise.all(Array.from({ length: AT_ONCE }, run))
}

function createMany(where: string, life: LifeClient, settle: () => Promise<unknown>): Contender[] {
  let made: Sandbox[] = []
  const after = async () => {
    await life.remove(made)
    await settle()
  }
  const create = async () => {
    made = await all(() => life.create())
  }
  const createAndExecute = async () => {
    made = await all(async () => {
      const sandbox = await life.create()
      await life.execute(sandbox, 'true')
      return sandbox
    })
  }
  return [
    { name: `create: ${where}`, run: create, after },
    { name: `create, execute: ${where}`, run: createAndExecute, after },
  ]
}
