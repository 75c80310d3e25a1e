import { createServer } from 'node:net'
import { findLeftovers, startAtoll } from '@atoll/dev-env'
import { auditEverything, deleteEverything } from './calm.ts'
import { openDataDisk } from './data-disk.ts'
import { explain } from './explain.ts'
import { noting } from './noting.ts'
import type { ChaosOptions } from './options.ts'
import type { Scene } from './scene.ts'
import { createScene, furnish } from './scene.ts'
import { storm } from './storm.ts'
import { createTally } from './tally.ts'

export interface ChaosReport {
  /** What must not be, a line each. */
  problems: readonly string[]
  /** The counts. */
  page: string
  /** What is known of the sandboxes that the problems name, a line each. */
  explanation: readonly string[]
}

/**
 * Starts a system, lets workers use it while faults hit it, and then compares what was acknowledged, what the rows say
 * and what is on the host; deletes everything, compares again, and stops it. Whatever breaks off on the way is a
 * problem of the report's. Throws when no system can be started.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const tally = createTally(options.say)
  tally.fact('seed', options.seed)
  tally.fact('workers', options.workers)
  const disk = openDataDisk(options.diskGib)
  let explanation: string[] = []
  try {
    const env = { ATOLL_PORT: String(await freePort()), ATOLL_RUNNER_LOST_AFTER_S: String(options.lostAfterS) }
    const atoll = await startAtoll({ dataDir: disk.dataDir, checkout: options.checkout, env })
    const scene = createScene(options, { atoll, disk, tally })
    await noting(tally, 'what comes before the storm', () => furnish(scene))
    await noting(tally, 'the storm', () => storm(scene))
    await noting(tally, 'the comparison', () => auditEverything(scene))
    await noting(tally, 'the deletion', () => deleteEverything(scene))
    explanation = await explain(tally.problems, [atoll.dataDir, ...(scene.second ? [scene.second.dataDir] : [])])
    await noting(tally, 'the end of the second runner', async () => await scene.second?.[Symbol.asyncDispose]())
    await noting(tally, 'the stop', () => endSystem(scene))
  } finally {
    await noting(tally, 'taking the data disk away', () => disk[Symbol.dispose]())
  }
  return { problems: tally.problems, page: tally.page(), explanation }
}

async function endSystem({ atoll, disk, tally }: Scene): Promise<void> {
  disk.free()
  try {
    const status = await atoll.stop()
    if (status !== 0) tally.problem(`atoll up ended with status ${status}`)
  } catch (error) {
    tally.problem(`the system does not stop: ${error instanceof Error ? error.message.slice(0, 500) : error}`)
    await atoll.kill9()
  }
  for (const { kind, name } of findLeftovers(atoll.dataDir)) tally.problem(`after the stop: ${kind} ${name}`)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port is free')
  return address.port
}
