import { describe, expect, it } from 'vitest'
import type { Chance } from './chance.ts'
import { createChance } from './chance.ts'
import { createLedger } from './ledger.ts'
import { noting } from './noting.ts'
import type { Scene } from './scene.ts'
import { storm } from './storm.ts'
import { createTally } from './tally.ts'

const HOUR_MS = 3_600_000

/** A storm of an hour, of which nothing reaches a system: nobody works, and whoever looks finds that it runs. */
function sceneOf(chance: Chance, interrupted = new AbortController().signal): Scene {
  const parts = {
    ...{ tally: createTally(), ledger: createLedger(), chance, operator: { look: async () => undefined, restarts: 0 } },
    options: { ...{ seed: 'any', workers: 0, stormMs: HOUR_MS, faults: [], interrupted }, say: () => undefined },
  }
  return parts as unknown as Scene
}

describe('storm', () => {
  it('ends with what one of its parts throws, which becomes a problem', async () => {
    const broken = { ...createChance('any'), percent: () => false, child: () => broken } as Chance
    broken.integer = () => {
      throw new Error('no chance')
    }
    const scene = sceneOf(broken)
    await noting(scene.tally, 'the storm', () => storm(scene))
    expect(scene.tally.problems).toEqual(['the storm broke off: no chance'])
  })

  it('ends when it is interrupted', async () => {
    const interrupted = new AbortController()
    const raging = storm(sceneOf(createChance('any'), interrupted.signal))
    interrupted.abort()
    await raging
  })
})
