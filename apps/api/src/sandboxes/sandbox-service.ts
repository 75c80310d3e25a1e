import type { CreateSandbox, Sandbox, SandboxCommand } from '@atoll/protocol'
import { AppError, DESTROYED_READABLE_MS, shownState } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { Queryable } from '../database/database.ts'
import { pickRunner } from '../runners/placement.ts'
import type { RunnerService } from '../runners/runner-service.ts'
import type { ChangeRequest } from './sandbox-change-store.ts'
import type { SandboxChanges } from './sandbox-changes.ts'
import { toSandbox } from './sandbox-dto.ts'
import { isSandboxId } from './sandbox-id.ts'
import type { SandboxPlan } from './sandbox-plan.ts'
import { planSandbox } from './sandbox-plan.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import type { StartWaiter } from './start-waiter.ts'
import { checkLabels } from './text-map.ts'

export interface SandboxServiceOptions {
  store: SandboxStore
  changes: SandboxChanges
  runners: Pick<RunnerService, 'lockCandidates' | 'lockOne' | 'targets' | 'hasSnapshot'>
  waitUntilStarted: StartWaiter
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Who asks for what of which sandbox; one of another organization is as unknown (SANDBOX_NOT_FOUND). */
export interface SandboxService {
  /** Makes a sandbox and waits until it has started. Throws what `planSandbox` and the wait throw, NO_AVAILABLE_RUNNER, … */
  create(caller: Principal, body: CreateSandbox, signal: AbortSignal): Promise<Sandbox>
  /** Those with all of `labels`, newest first. */
  list(caller: Principal, labels: Record<string, string>): Promise<Sandbox[]>
  /** A destroyed one too, for a day. */
  get(caller: Principal, id: string): Promise<Sandbox>
  /** Starts a stopped sandbox and waits until it has started. Throws SANDBOX_STATE_CONFLICT and what the wait throws. */
  start(caller: Principal, id: string, signal: AbortSignal): Promise<Sandbox>
  /** Asks for the stop and returns at once. Throws SANDBOX_STATE_CONFLICT. */
  stop(caller: Principal, id: string): Promise<Sandbox>
  /** Asks for the deletion and returns at once, whatever the sandbox is doing; repeating it does nothing. */
  delete(caller: Principal, id: string): Promise<Sandbox>
  setLabels(caller: Principal, id: string, labels: Record<string, string>): Promise<Record<string, string>>
  /** Whose a sandbox is and whether calls can reach it; undefined for an unknown id. */
  access(id: string): Promise<SandboxAccess | undefined>
}

export interface SandboxAccess {
  readonly organizationId: string
  readonly running: boolean
}

export function createSandboxService(options: SandboxServiceOptions): SandboxService {
  return new Sandboxes(options)
}

/** The same for an unknown id and for one of another organization. */
export function sandboxNotFound(id: string): AppError {
  return new AppError('SANDBOX_NOT_FOUND', `Sandbox with ID ${id} not found`)
}

class Sandboxes implements SandboxService {
  private readonly options: SandboxServiceOptions

  constructor(options: SandboxServiceOptions) {
    this.options = options
  }

  async create(caller: Principal, body: CreateSandbox, signal: AbortSignal): Promise<Sandbox> {
    const plan = planSandbox(body)
    await this.checkPlan(plan)
    const row = await this.options.store.transaction((tx) => this.place(tx, plan, caller))
    this.options.changes.emit(row)
    return toSandbox(await this.options.waitUntilStarted(row, signal))
  }

  async list(caller: Principal, labels: Record<string, string>): Promise<Sandbox[]> {
    checkLabels(labels)
    const rows = await this.options.store.list(caller.organizationId, labels)
    return rows.map(toSandbox)
  }

  async get(caller: Principal, id: string): Promise<Sandbox> {
    return toSandbox(await this.find(caller, id))
  }

  async start(caller: Principal, id: string, signal: AbortSignal): Promise<Sandbox> {
    const row = await this.command(caller, id, { event: 'start', before: (tx, stopped) => this.checkRoom(tx, stopped) })
    return toSandbox(await this.options.waitUntilStarted(row, signal))
  }

  async stop(caller: Principal, id: string): Promise<Sandbox> {
    return toSandbox(await this.command(caller, id, { event: 'stop' }))
  }

  async delete(caller: Principal, id: string): Promise<Sandbox> {
    return toSandbox(await this.command(caller, id, { event: 'delete' }))
  }

  async setLabels(caller: Principal, id: string, labels: Record<string, string>): Promise<Record<string, string>> {
    checkLabels(labels)
    if (!isSandboxId(id)) throw sandboxNotFound(id)
    if (!(await this.options.store.setLabels(id, caller.organizationId, labels))) throw sandboxNotFound(id)
    return labels
  }

  async access(id: string): Promise<SandboxAccess | undefined> {
    if (!isSandboxId(id)) return undefined
    const [row] = await this.options.store.findMany([id])
    return row && { organizationId: row.organizationId, running: shownState(row) === 'started' }
  }

  private async find(caller: Principal, id: string): Promise<SandboxRow> {
    if (!isSandboxId(id)) throw sandboxNotFound(id)
    const row = await this.options.store.find(id, caller.organizationId, this.destroyedAfter())
    if (row === undefined) throw sandboxNotFound(id)
    return row
  }

  private async command(
    caller: Principal,
    id: string,
    command: Pick<ChangeRequest, 'before'> & { event: SandboxCommand },
  ): Promise<SandboxRow> {
    if (!isSandboxId(id)) throw sandboxNotFound(id)
    const actor = { kind: 'user', id: caller.userId } as const
    const { organizationId } = caller
    const result = await this.options.store.change({ id, organizationId, actor, ...command })
    if (result === undefined || this.isForgotten(result.row)) throw sandboxNotFound(id)
    if (result.outcome.kind === 'refused') {
      throw new AppError(result.outcome.refusal.code, result.outcome.refusal.message)
    }
    return result.row
  }

  /** The rules of creation that need to know what there is. */
  private async checkPlan({ snapshot, target }: SandboxPlan): Promise<void> {
    if (!(await this.options.runners.hasSnapshot(snapshot))) {
      throw new AppError('SNAPSHOT_NOT_FOUND', `Snapshot ${snapshot} not found`)
    }
    const targets = await this.options.runners.targets()
    if (!targets.includes(target)) {
      throw new AppError('TARGET_NOT_FOUND', `Target ${target} not found; there is ${targets.join(', ')}`)
    }
  }

  /** Picks a runner and writes the row; the runners stay locked meanwhile, so that room is not given twice. */
  private async place(tx: Queryable, plan: SandboxPlan, caller: Principal): Promise<SandboxRow> {
    const { snapshot, target } = plan
    const candidates = await this.options.runners.lockCandidates(tx, { region: target, snapshot })
    const ids = candidates.map((candidate) => candidate.id)
    const runnerId = pickRunner(candidates, await this.options.store.usage(tx, ids), plan)
    if (runnerId === undefined) throw noRunner()
    const now = new Date(this.options.now())
    const times = { changedAt: now, lastActivityAt: now, createdAt: now, updatedAt: now }
    const { organizationId } = caller
    return await this.options.store.insert(
      tx,
      { ...plan, ...times, organizationId, runnerId, state: 'creating', desiredState: 'started' },
      { kind: 'user', id: caller.userId },
    )
  }

  /** A stopped sandbox takes no cpu and memory, so others may have them by now. */
  private async checkRoom(tx: Queryable, row: SandboxRow): Promise<void> {
    const runner = await this.options.runners.lockOne(tx, row.runnerId)
    if (runner === undefined) throw noRunner()
    const usage = await this.options.store.usage(tx, [runner.id])
    // Its disk is counted already.
    const need = { cpu: row.cpu, memoryGib: row.memoryGib, diskGib: 0 }
    if (pickRunner([runner], usage, need) === undefined) throw noRunner()
  }

  private isForgotten(row: SandboxRow): boolean {
    return row.state === 'destroyed' && row.changedAt <= this.destroyedAfter()
  }

  private destroyedAfter(): Date {
    return new Date(this.options.now() - DESTROYED_READABLE_MS)
  }
}

function noRunner(): AppError {
  return new AppError('NO_AVAILABLE_RUNNER', 'No available runners')
}
