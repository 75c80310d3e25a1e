import { expect, it } from 'vitest'
import { everyDeed } from './every-deed.ts'
import type { KnownSandbox } from './ledger.ts'
import { createLedger } from './ledger.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import type { Scene } from './scene.ts'
import { createTally } from './tally.ts'

/** A calm with one survivor, whose commands lead to the states that `leadsTo` names, in a system that forks nothing. */
function sceneOf(leadsTo: Readonly<Record<string, string>>): Scene {
  const ledger = createLedger()
  Object.assign(ledger.add('survivor'), { id: 'its id', existence: 'there', state: 'started', hasRun: true })
  const calls: Partial<SandboxCalls> = {
    look: async ({ state }) => state,
    execute: async () => '',
    async command(sandbox: KnownSandbox, verb: string) {
      sandbox.state = leadsTo[verb] ?? sandbox.state
      return { kind: 'ok', status: 200, bytes: Buffer.alloc(0) }
    },
  }
  const client = { call: async () => ({ kind: 'refused', status: 400, code: 'ANY', message: 'no' }) }
  return { calls, client, ledger, tally: createTally(), options: { settleMs: 600 } } as unknown as Scene
}

it('finds that a survivor cannot be archived or restored', async () => {
  await expect(everyDeed(sceneOf({ stop: 'stopped' }))).rejects.toThrow('survivor (its id) is not archived')
  const scene = sceneOf({ stop: 'stopped', archive: 'archived', start: 'restoring' })
  await everyDeed(scene)
  expect(scene.tally.problems).toContain('survivor (its id) was archived and could not be started: it is restoring')
})

it('finds that it cannot be forked', async () => {
  const scene = sceneOf({ stop: 'stopped', archive: 'archived', start: 'started' })
  await everyDeed(scene)
  expect(scene.tally.problems).toEqual(['a fork of survivor (its id) was not made: it is unheard'])
})
