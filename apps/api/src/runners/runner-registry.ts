import { createHash, randomBytes } from 'node:crypto'
import type { CreatedRunner, CreateRunner, Runner, RunnerFull, RunnerSnapshotRef } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { isUuid } from '../database/uuid.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { SnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import { toRunner } from './runner-dto.ts'
import type { RunnerFlags, RunnerQuery, RunnerRegistryStore, RunnerWithUse } from './runner-registry-store.ts'
import { silenceAt } from './runner-silence.ts'

const TOKEN_BYTES = 32

const LOST =
  'Sandboxes or volumes are on this runner, which is lost: with force=true sandboxes that have a backup are archived, and all else is lost'

const MAKES_SNAPSHOTS =
  'Snapshots are being made on this runner: with force=true others make them, except those of uploads and sandboxes, which fail'

export interface RunnerRegistryOptions {
  store: RunnerRegistryStore
  holdings: Pick<SnapshotRunnerStore, 'withSnapshot'>
  regions: Pick<RegionService, 'find'>
  /** Milliseconds since the epoch. */
  now: () => number
  /** The silence after which a runner is lost, in milliseconds. */
  lostAfterMs: number
}

/** The list of runners, for administrators. */
export interface RunnerRegistry {
  /** Registers a runner and returns its token, this once. Throws VALIDATION_FAILED, TARGET_NOT_FOUND and CONFLICT. */
  register(body: CreateRunner): Promise<CreatedRunner>
  list(query: Pick<RunnerQuery, 'region'>): Promise<Runner[]>
  /** Throws RUNNER_NOT_FOUND. */
  get(id: string): Promise<Runner>
  getFull(id: string): Promise<RunnerFull>
  /** Takes a runner out of placement, or puts it back. Throws RUNNER_NOT_FOUND. */
  setFlags(id: string, flags: RunnerFlags): Promise<Runner>
  /**
   * Removes a runner, whose connection ends within seconds. Throws RUNNER_NOT_FOUND, and CONFLICT while a sandbox or a volume
   * is there, a snapshot is being made there, or it alone has a needed one. `force` gives up such snapshots, and the sandboxes
   * and volumes on a lost runner: a sandbox that has a backup is archived, and the others and the volumes are in error.
   */
  remove(id: string, options?: { force: boolean }): Promise<void>
  /** Returns the runner of a sandbox of any organization. Throws SANDBOX_NOT_FOUND. */
  ofSandbox(sandboxId: string): Promise<Runner>
  withSnapshot(ref: string): Promise<RunnerSnapshotRef[]>
}

export function createRunnerRegistry(options: RunnerRegistryOptions): RunnerRegistry {
  const { store, holdings, regions, now } = options

  async function find(id: string): Promise<RunnerWithUse> {
    const [found] = isUuid(id) ? await store.list({ id }) : []
    if (found === undefined) throw runnerNotFound(id)
    return found
  }

  const get = async (id: string) => toRunner(await find(id), now())

  return {
    get,
    async register(body) {
      const region = body.regionId ?? body.region
      if (region === undefined) throw new AppError('VALIDATION_FAILED', 'body.regionId is required')
      if ((await regions.find(region)) === undefined)
        throw new AppError('TARGET_NOT_FOUND', `Region ${region} not found`)
      const token = body.apiKey ?? randomBytes(TOKEN_BYTES).toString('hex')
      const name = body.name ?? body.domain
      if (name === undefined) throw new AppError('VALIDATION_FAILED', 'body.name is required')
      const id = await store.insert({ ...columnsOf(body), name, region, tokenHash: hash(token) })
      if (id === undefined) throw new AppError('CONFLICT', `A runner of the name ${name} or with this token exists`)
      return { ...(await get(id)), apiKey: token }
    },
    list: async (query) => (await store.list(query)).map((found) => toRunner(found, now())),
    async getFull(id) {
      const runner = await get(id)
      const region = await regions.find(runner.region)
      return { ...runner, ...(region === undefined ? {} : { regionType: region.regionType }) }
    },
    async setFlags(id, flags) {
      if (!isUuid(id) || !(await store.setFlags(id, flags))) throw runnerNotFound(id)
      return await get(id)
    },
    async remove(id, { force } = { force: false }) {
      // No token has this hash.
      const tokenHash = hash(randomBytes(TOKEN_BYTES).toString('hex'))
      const silence = silenceAt(now(), options.lostAfterMs)
      const removal = { tokenHash, silence, force, at: new Date(now()) }
      const outcome = isUuid(id) ? await store.remove(id, removal) : 'unknown'
      if (outcome === 'unknown') throw runnerNotFound(id)
      if (outcome === 'lost') throw new AppError('CONFLICT', LOST)
      if (outcome === 'sandboxes') throw new AppError('CONFLICT', 'Sandboxes live on this runner')
      if (outcome === 'volumes') throw new AppError('CONFLICT', 'Volumes are on this runner')
      if (outcome === 'snapshots') throw new AppError('CONFLICT', MAKES_SNAPSHOTS)
      if (typeof outcome === 'object') throw lastHolder(outcome.lastHolder)
    },
    async ofSandbox(sandboxId) {
      const id = isUuid(sandboxId) ? await store.runnerOf(sandboxId) : undefined
      if (id === undefined) throw new AppError('SANDBOX_NOT_FOUND', `Sandbox with ID ${sandboxId} not found`)
      return await get(id)
    },
    async withSnapshot(ref) {
      const [held, listed] = await Promise.all([holdings.withSnapshot(ref), store.list({})])
      return held.flatMap(({ id, runnerId }) => {
        const holder = listed.find(({ runner }) => runner.id === runnerId)?.runner
        if (holder === undefined) return []
        return [{ runnerSnapshotId: id, runnerId, runnerDomain: holder.domain ?? holder.name }]
      })
    },
  }
}

function columnsOf(body: CreateRunner) {
  const { domain, apiUrl, proxyUrl, gpuType, class: takes, capacity, gpu, tags, cpu, memory, disk } = body
  return {
    ...{ domain, apiUrl, proxyUrl, gpuType, class: takes, capacity, cpu, memoryGib: memory, diskGib: disk },
    ...(gpu === undefined ? {} : { gpu }),
    ...(tags === undefined ? {} : { tags }),
  }
}

function lastHolder(snapshots: readonly string[]): AppError {
  const names = snapshots.join(', ')
  return new AppError(
    'CONFLICT',
    `No other runner has these snapshots, which sandboxes or organizations need: ${names}; with force=true they are lost`,
  )
}

function runnerNotFound(id: string): AppError {
  return new AppError('RUNNER_NOT_FOUND', `Runner with ID ${id} not found`)
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
