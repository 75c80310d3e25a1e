import { setMaxListeners } from 'node:events'
import { whatIsUncovered } from './coverage.ts'
import { FULL_SANDBOX } from './fault-kinds.ts'
import { runFaults } from './faults.ts'
import type { KnownSandbox } from './ledger.ts'
import type { Operator } from './operator.ts'
import { pause } from './pause.ts'
import type { Scene } from './scene.ts'
import { whatIsAway } from './settle.ts'
import { runPool } from './warm-pool.ts'
import { runWorker } from './worker.ts'

/**
 * Calls that must have done what was asked before a storm ends, files that there are to be in what is left, and by how much it may
 * become longer for what it shows.
 */
const CALLS_PER_WORKER = 8
const FILES_PER_WORKER = 2
const MAX_STORM_FACTOR = 4
const ENOUGH_EVERY_MS = 500

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
    ...{ chance: chance.child('faults'), victims, disk, second: scene.second, ledger, tally },
    ...{
      say: options.say,
      only: options.faults,
      workers: options.workers,
      stormMs: options.stormMs,
      over: over.signal,
    },
    isServing: async () => (await whatIsAway(scene.atoll, 1)) === undefined,
  })
  const fillsDisks = options.faults?.includes(FULL_SANDBOX) ?? true
  const workers = Array.from({ length: options.workers }, (_, number) =>
    runWorker({ ...scene, number, fillsDisks, chance: chance.child(`worker ${number}`), over: over.signal }),
  )
  const pool = { chance: chance.child('pool'), over: over.signal }
  const changing = scene.pool === undefined ? [] : [runPool(scene.pool, pool)]
  const parts = [faults, operate(operator, over.signal), ...changing, ...workers]
  const allEnd = Promise.all(parts)
  const begunAt = performance.now()
  try {
    // What one of them throws ends the storm, and the others still undo what they have done.
    await Promise.race([allEnd, untilEnough(scene, over.signal)])
  } finally {
    over.abort()
    interrupted?.removeEventListener('abort', end)
    await Promise.allSettled(parts)
  }
  await allEnd
  tally.fact('storm', `${((performance.now() - begunAt) / 1000).toFixed(1)} s`)
  tally.fact('sandboxes made', ledger.sandboxes.filter(({ id }) => id !== undefined).length)
  tally.fact('operator starts', operator.restarts)
}

/** A machine that is busy gets more time, in which at least so much happens that the storm shows something. */
async function untilEnough(scene: Scene, over: AbortSignal): Promise<void> {
  const { stormMs } = scene.options
  const begunAt = performance.now()
  const goesOn = (factor: number) => !over.aborted && performance.now() - begunAt < factor * stormMs
  while (goesOn(1) || (goesOn(MAX_STORM_FACTOR) && !(await isEnough(scene)))) await pause(ENOUGH_EVERY_MS, over)
}

async function isEnough(scene: Scene): Promise<boolean> {
  const { tally, ledger, options } = scene
  const isThere = ({ existence }: KnownSandbox) => existence === 'there'
  const files = ledger.sandboxes.filter(isThere).reduce((sum, sandbox) => sum + sandbox.files.size, 0)
  if (tally.done < CALLS_PER_WORKER * options.workers || files < FILES_PER_WORKER * options.workers) return false
  try {
    return (await whatIsUncovered(scene)).length === 0
  } catch {
    // The database was hit, too: the next look says more.
    return false
  }
}

async function operate(operator: Operator, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await operator.look()
    await pause(500, over)
  }
}
