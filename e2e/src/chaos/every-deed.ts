import { auditFiles } from './audit-files.ts'
import type { KnownSandbox } from './ledger.ts'
import { freshFile } from './ledger.ts'
import type { Scene } from './scene.ts'
import { readEvents, readRows } from './system-rows.ts'
import { waitFor } from './wait-for.ts'
import { create, fork } from './worker.ts'

const FILE_BYTES = 4_096

/**
 * Does in the calm what a short storm may not have shown: archives and restores a sandbox that has come through it, forks it, and
 * takes one over from the pool. Throws where one of these takes too long; what else goes wrong is a problem.
 */
export async function everyDeed(scene: Scene): Promise<void> {
  const { calls, ledger, tally } = scene
  const survivor = await pickSurvivor(scene)
  await calls.command(survivor, 'stop')
  await untilState(scene, survivor, 'stopped')
  await calls.command(survivor, 'archive')
  await untilState(scene, survivor, 'archived')
  await auditFiles(scene, [survivor])
  const copy = await fork(scene, survivor, `chaos-calm-fork-${ledger.sandboxes.length}`)
  if (copy.state !== 'started')
    tally.problem(`a fork of ${survivor.name} (${survivor.id}) was not made: it is ${copy.state}`)
  await auditFiles(scene, [copy])
  await takeOver(scene)
}

/** The one with the most files of those that run; a new one with a file where there is none. */
async function pickSurvivor(scene: Scene): Promise<KnownSandbox> {
  const { calls, ledger } = scene
  const [survivor] = ledger.sandboxes
    .filter(({ existence, state }) => existence === 'there' && state === 'started')
    .sort((one, other) => other.files.size - one.files.size)
  if (survivor !== undefined) return survivor
  const made = await create(scene, `chaos-calm-${ledger.sandboxes.length}`)
  await calls.upload(made, freshFile(made), FILE_BYTES)
  return made
}

async function untilState(scene: Scene, sandbox: KnownSandbox, state: string): Promise<void> {
  const isThere = async () => (await scene.calls.look(sandbox)) === state || undefined
  await waitFor(scene, `${sandbox.name} (${sandbox.id}) is not ${state}`, isThere)
}

/** Fills the pool with one sandbox and creates one, which must be that one. */
async function takeOver(scene: Scene): Promise<void> {
  const { atoll, ledger, pool, tally } = scene
  if (pool === undefined) return
  await pool.resize(1)
  await waitFor(scene, 'nothing waits in the warm pool', async () => {
    const { sandboxes } = await readRows(atoll.dataDir)
    return sandboxes.some(({ isWarm, state }) => isWarm && state === 'started') || undefined
  })
  const taken = await create(scene, `chaos-calm-claim-${ledger.sandboxes.length}`)
  const events = taken.id === undefined ? [] : await readEvents(atoll.dataDir, taken.id)
  if (!events.some(({ event }) => event === 'claim'))
    tally.problem(`${taken.name} (${taken.id}) is not from the warm pool`)
  await pool.resize(0)
}
