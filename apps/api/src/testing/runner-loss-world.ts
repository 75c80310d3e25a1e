import { randomUUID } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { compareRunner } from '../runners/runner-comparison.ts'
import type { ConnectedRunner, RunnerObserver } from '../runners/runner-session.ts'
import { createRunnerStore } from '../runners/runner-store.ts'
import { createFormerSweep } from '../sandboxes/runner-loss/former-sweep.ts'
import type { RunnerLoss } from '../sandboxes/runner-loss/runner-loss.ts'
import { createRunnerLoss } from '../sandboxes/runner-loss/runner-loss.ts'
import { createRunnerLossStore } from '../sandboxes/runner-loss/runner-loss-store.ts'
import { createSandboxSync } from '../sandboxes/sandbox-sync.ts'
import type { Trap } from './memory-runner.ts'
import type { ReconciledSandboxes } from './reconciled-sandboxes.ts'
import { createReconciledSandboxes } from './reconciled-sandboxes.ts'
import { until } from './until.ts'

export const LOST_AFTER_MS = 120_000
/** The time between two looks for lost runners, in milliseconds. */
export const STEP_MS = 5_000
const log = createLogger('test', process.env['TEST_LOG_LEVEL'] ?? 'silent')

/** Sandboxes on a runner that may vanish, another runner to which they may go, and a clock that the test sets. */
export interface RunnerLossWorld extends ReconciledSandboxes {
  /** Milliseconds since the epoch. */
  clock: number
  /** The other runner, when there is one. */
  otherId: string | undefined
  /** Records that the runner says it is alive. */
  hear(): Promise<void>
  /** Connects the runner, as it is after it was compared. */
  connect(): Promise<void>
  disconnect(): Promise<void>
  /** Returns the runner as its present connection shows it. */
  connected(): ConnectedRunner
  /** Returns a watch for lost runners, which looks when the test tells it to. */
  watch(): RunnerLoss
  /** Moves the clock on by `timeMs`, with looks in between. */
  pass(watching: RunnerLoss, timeMs: number): Promise<void>
  /** Takes the runner away, in the middle of a trapped call perhaps, until it is lost. */
  lose(trap?: Trap): Promise<void>
  /** Brings the runner back with all that it has, and compares it. */
  comeBack(): Promise<void>
  /** Removes sandboxes from the returned runner that are elsewhere by now. */
  sweep(): Promise<void>
  /** The comparison that connections use. */
  readonly sync: RunnerObserver
  /** Resolves when the runner's row says that it was heard of at this time of the clock. */
  untilHeard(): Promise<void>
  /** Makes a stopped sandbox whose files are in a backup. */
  withBackup(files: string): Promise<string>
  shown(id: string): Promise<Record<string, unknown>>
  formerPlacements(id: string): Promise<Record<string, unknown>[]>
}

export async function createRunnerLossWorld(): Promise<RunnerLossWorld> {
  let clock = Date.now()
  let connectionId = randomUUID()
  const base = await createReconciledSandboxes(() => clock)
  const { store, backups, database, changes, runner, runnerId } = base
  const runners = createRunnerStore(database)
  const losses = createRunnerLossStore(database, changes)
  const sync = createSandboxSync({ database, store, log, now: () => clock })
  const callable = { readyIds: () => [...base.runners.keys()], client: (id: string) => base.runners.get(id) }
  const sweep = createFormerSweep({ database, runners: callable, log, now: () => clock })
  const connection = () => ({ runnerId, connectionId, at: new Date(clock) })
  const elsewhere = async () => {
    if (world.otherId === undefined) throw new AppError('NO_AVAILABLE_RUNNER', 'No available runners')
    return world.otherId
  }

  const world: RunnerLossWorld = {
    ...base,
    sync,
    get clock() {
      return clock
    },
    set clock(at) {
      clock = at
    },
    otherId: undefined,
    hear: async () => void (await runners.setSeen(connection())),
    async connect() {
      connectionId = randomUUID()
      await runners.claim(connection())
      await world.hear()
    },
    disconnect: () => runners.setGone(connection()),
    connected: () => ({ id: runnerId, name: 'r', connectionId, client: runner }) as unknown as ConnectedRunner,
    watch: () =>
      createRunnerLoss({
        ...{ store, backups, losses, room: { elsewhere }, log },
        ...{ now: () => clock, lostAfterMs: LOST_AFTER_MS },
      }),
    async pass(watching, timeMs) {
      for (const end = clock + timeMs; clock < end; clock += STEP_MS) await watching.pass()
      await watching.pass()
    },
    async lose(trap) {
      await world.disconnect()
      world.runners.delete(runnerId)
      trap?.cut()
      await world.pass(world.watch(), LOST_AFTER_MS + STEP_MS)
    },
    async comeBack() {
      connectionId = randomUUID()
      await runners.claim(connection())
      const observed = { runner: world.connected(), connection, store: runners, observer: sync }
      await compareRunner({ ...observed, log, heardEveryMs: 1 })
      world.runners.set(runnerId, runner)
    },
    sweep: () => sweep.sweep(),
    untilHeard: () =>
      until('the runner is heard of', async () => {
        const at = new Date(clock).toISOString()
        return (await database.sql`select 1 from runners where id = ${runnerId} and heard_at >= ${at}`).length > 0
      }),
    async withBackup(files) {
      const id = await world.stopped(files)
      await backups.request(id, world.organizationId)
      await until('it is backed up', async () => (await world.read(id)).backupState === 'Completed')
      return id
    },
    async shown(id) {
      const { state, desiredState, lost, recoverableTo } = await world.read(id)
      return { state, desiredState, lost, recoverableTo }
    },
    formerPlacements: (id) =>
      database.sql`select runner_id, cleared_at from former_placements where sandbox_id = ${id}`,
  }
  await world.connect()
  return world
}
