import { setMaxListeners } from 'node:events'
import { runFaults } from './faults.ts'
import type { Operator } from './operator.ts'
import { pause } from './pause.ts'
import type { Scene } from './scene.ts'
import { whatIsAway } from './settle.ts'
import { runWorker } from './worker.ts'

/** Calls that must have done what was asked before a storm ends, and by how much it may become longer for that. */
const CALLS_PER_WORKER = 12
const MAX_STORM_FACTOR = 3
const ENOUGH_EVERY_MS = 200

/**
 * Lets workers use the system while faults hit it, for as long as the options say, more on a busy machine, less when it
 * is interrupted. Rejects, once all of them have ended, with what one of them threw.
 */
export async function storm(scene: Scene): Promise<void> {
  const { options, chance, victims, operator, ledger, tally, disk } = scene
  const over = new AbortController()
  const { interrupted } = options
  const end = () => over.abort()
  interrupted?.addEventListener('abort', end)
  if (interrupted?.aborted) end()
  // One for each worker that pauses.
  setMaxListeners(0, over.signal)
  const faults = runFaults({
    ...{ chance: chance.child('faults'), victims, disk, ledger, tally },
    ...{ say: options.say, only: options.faults, workers: options.workers, over: over.signal },
    isServing: async () => (await whatIsAway(scene.atoll)) === undefined,
  })
  const workers = Array.from({ length: options.workers }, (_, number) =>
    runWorker({ ...scene, number, chance: chance.child(`worker ${number}`), over: over.signal }),
  )
  const parts = [faults, operate(operator, over.signal), ...workers]
  const allEnd = Promise.all(parts)
  try {
    // What one of them throws ends the storm, and the others still undo what they have done.
    await Promise.race([allEnd, untilEnough(scene, over.signal)])
  } finally {
    over.abort()
    interrupted?.removeEventListener('abort', end)
    await Promise.allSettled(parts)
  }
  await allEnd
  const made = ledger.sandboxes.filter(({ id }) => id !== undefined).length
  tally.fact('sandboxes made', made)
  if (made === 0) tally.problem('not one sandbox was made: the storm has shown nothing')
  tally.fact('operator starts', operator.restarts)
}

/** A machine that is busy gets more time, in which at least so much happens that the storm shows something. */
async function untilEnough({ options, tally }: Scene, over: AbortSignal): Promise<void> {
  const { stormMs, workers } = options
  const begunAt = performance.now()
  const goesOn = (factor: number) => !over.aborted && performance.now() - begunAt < factor * stormMs
  while (goesOn(1) || (tally.done < CALLS_PER_WORKER * workers && goesOn(MAX_STORM_FACTOR))) {
    await pause(ENOUGH_EVERY_MS, over)
  }
}

async function operate(operator: Operator, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await operator.look()
    await pause(500, over)
  }
}
