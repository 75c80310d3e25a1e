import { createHash, randomUUID } from 'node:crypto'
import { createRunnerStore } from '../runners/runner-store.ts'
import type { SandboxWorld } from './sandbox-world.ts'
import { ScriptedRunner } from './scripted-runner.ts'
import { until } from './until.ts'

/** A second host of a world, in the same region. The caller disposes it: then nothing more is placed on it. */
export interface SecondRunner extends AsyncDisposable {
  readonly runner: ScriptedRunner
  readonly id: string
}

/** `prepare` is called before it connects. */
export async function createSecondRunner(
  world: SandboxWorld,
  prepare: (runner: ScriptedRunner) => void = () => undefined,
): Promise<SecondRunner> {
  const token = randomUUID()
  const tokenHash = createHash('sha256').update(token).digest('hex')
  const store = createRunnerStore(world.api.database)
  const id = await store.ensure({ name: `second-${token}`, tokenHash, region: 'us' })
  const runner = new ScriptedRunner({ url: world.url, token })
  prepare(runner)
  await runner.connect()
  const isThere = async () => {
    const { sql } = world.api.database
    return (await sql`select 1 from runners where id = ${id} and last_seen_at is not null`).length > 0
  }
  await until('it is ready', isThere)
  return {
    ...{ runner, id },
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]()
      await until('it is known to be gone', async () => !(await isThere()))
    },
  }
}
