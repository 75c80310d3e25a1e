import type { RunningAtoll } from '@atoll/dev-env'
import type { ApiClient } from './api-client.ts'
import { createApiClient } from './api-client.ts'
import type { Chance } from './chance.ts'
import { createChance } from './chance.ts'
import type { DataDisk } from './data-disk.ts'
import type { Ledger } from './ledger.ts'
import { createLedger } from './ledger.ts'
import type { Operator } from './operator.ts'
import { createOperator } from './operator.ts'
import type { ChaosOptions } from './options.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import { createSandboxCalls } from './sandbox-calls.ts'
import type { SecondRunner } from './second-runner.ts'
import { openSecondRunner } from './second-runner.ts'
import type { Tally } from './tally.ts'
import type { Victims } from './victims.ts'
import { createVictims } from './victims.ts'
import type { WarmPool } from './warm-pool.ts'
import { openWarmPool } from './warm-pool.ts'

/** Everything that the parts of a run share. */
export interface Scene {
  options: ChaosOptions
  atoll: RunningAtoll
  disk: DataDisk
  tally: Tally
  chance: Chance
  victims: Victims
  operator: Operator
  client: ApiClient
  ledger: Ledger
  calls: SandboxCalls
  /** How many runners there are. */
  runners: number
  /** There from `furnish` on; in the end lost for good. */
  second: SecondRunner | undefined
  /** There from `furnish` on. */
  pool: WarmPool | undefined
  /** From here on a call that fails is a problem. */
  isCalm: boolean
}

export function createScene(
  options: ChaosOptions,
  { atoll, disk, tally }: Pick<Scene, 'atoll' | 'disk' | 'tally'>,
): Scene {
  const victims = createVictims(atoll)
  const { apiKey } = atoll
  const client = createApiClient({
    ...{ url: () => atoll.url, apiKey, tally, slackMs: options.slackMs, isCalm: () => scene.isCalm },
  })
  const ledger = createLedger()
  const scene: Scene = {
    ...{ options, atoll, disk, tally, victims, client, chance: createChance(options.seed) },
    operator: createOperator(atoll, { victims, tally, say: options.say }),
    ledger,
    calls: createSandboxCalls({ client, ledger, tally }),
    runners: 1,
    second: undefined,
    pool: undefined,
    isCalm: false,
  }
  return scene
}

/** Adds what the system does not begin with: a second runner, and a warm pool. Throws where one cannot be made. */
export async function furnish(scene: Scene): Promise<void> {
  const { atoll, client, options, tally } = scene
  const second = await openSecondRunner({
    ...{ client, url: () => atoll.url, checkout: options.checkout },
    onDeath: (how) => tally.problem(`the second runner ended by itself (${how})`),
  })
  scene.second = second
  await second.start()
  scene.runners = 2
  scene.pool = await openWarmPool(client)
}
