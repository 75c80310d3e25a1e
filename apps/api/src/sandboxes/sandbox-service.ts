import type { CreateSandbox, CreateWorkspace } from '@atoll/protocol'
import { AppError, shownState } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import type { Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { checkLabels } from '../http/text-map.ts'
import type { OrganizationRow } from '../organizations/organization-table.ts'
import type { Quotas } from '../organizations/quotas.ts'
import type { RegionService } from '../regions/region-service.ts'
import type { WarmClaims } from '../warm-pools/warm-claims.ts'
import type { SandboxAccess } from './sandbox-access.ts'
import { accessOf } from './sandbox-access.ts'
import type { SandboxChanges } from './sandbox-changes.ts'
import type { SandboxCommands } from './sandbox-commands.ts'
import { sandboxNotFound } from './sandbox-commands.ts'
import type { SandboxFacts } from './sandbox-dto.ts'
import { toFacts } from './sandbox-dto.ts'
import type { SandboxOrigin, SandboxOrigins } from './sandbox-origins.ts'
import type { SandboxPlan } from './sandbox-plan.ts'
import { planSandbox, planWorkspace } from './sandbox-plan.ts'
import type { Handover, SandboxReconciler } from './sandbox-reconciler.ts'
import type { SandboxRoom } from './sandbox-room.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { destroyAt } from './settings/sandbox-settings.ts'
import type { StartWaiter } from './start-waiter.ts'
import type { Condition, StateWaiter } from './state-waiter.ts'
import { stopEvent } from './stop-event.ts'

/**
 * How long the response to a stop waits until the sandbox has stopped, in milliseconds. Most stops take less, and the SDKs,
 * which look again only after a tenth of a second, then see the end at once.
 */
export const STOPPED_WAIT_MS = 300

export interface SandboxServiceOptions {
  store: SandboxStore
  commands: SandboxCommands
  room: SandboxRoom
  changes: SandboxChanges
  origins: SandboxOrigins
  regions: Pick<RegionService, 'resolve'>
  quotas: Pick<Quotas, 'requireActive'>
  reconciler: Pick<SandboxReconciler, 'handOver'>
  waitUntilStarted: StartWaiter
  /** Waits for STOPPED_WAIT_MS. */
  waitShortly: StateWaiter
  /** Claims members of warm pools. */
  warm: Pick<WarmClaims, 'claim'>
  /** Runs after the transaction of a claim. */
  onClaim: (row: SandboxRow) => void
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Serves users' calls on sandboxes, each named by its id or its name. A sandbox of another organization is unknown
 * (SANDBOX_NOT_FOUND).
 */
export interface SandboxService {
  /**
   * Makes a sandbox and waits until it has started. Throws as `planSandbox`, the quotas and the wait do,
   * NO_AVAILABLE_RUNNER, SANDBOX_NAME_TAKEN, …
   */
  create(caller: Principal, body: CreateSandbox, signal: AbortSignal): Promise<SandboxFacts>
  /** Does the same for the workspace generation. A sandbox that does not start is no error: it is returned as it is. */
  createWorkspace(caller: Principal, body: CreateWorkspace, signal: AbortSignal): Promise<SandboxFacts>
  /** Returns the sandboxes with all of `labels`, newest first. */
  list(caller: Principal, labels: Record<string, string>): Promise<SandboxFacts[]>
  /** Returns a sandbox. A destroyed one is found by its id for a day. */
  get(caller: Principal, idOrName: string): Promise<SandboxFacts>
  /** Asks for the start and returns at once. Throws SANDBOX_STATE_CONFLICT, NO_AVAILABLE_RUNNER and as the quotas. */
  askToStart(caller: Principal, idOrName: string): Promise<SandboxFacts>
  /**
   * Starts a sandbox and waits until it has started; for an archived one it does not wait for the files. Throws as
   * `askToStart` and the wait do. `orStarted`: a sandbox that is started already is returned.
   */
  start(caller: Principal, idOrName: string, options: StartOptions): Promise<SandboxFacts>
  /**
   * Asks for the stop, or for the deletion of a sandbox that is deleted when it stops. Returns when it has stopped or after
   * STOPPED_WAIT_MS. `force`: its processes are given no time to end. Throws SANDBOX_STATE_CONFLICT.
   */
  stop(caller: Principal, idOrName: string, options: StopOptions): Promise<SandboxFacts>
  /** Asks for the deletion and returns at once, whatever the sandbox is doing; repeating it does nothing. */
  delete(caller: Principal, idOrName: string): Promise<SandboxFacts>
  setLabels(caller: Principal, idOrName: string, labels: Record<string, string>): Promise<Record<string, string>>
  /** Counts as use of the sandbox, as a call of its toolbox does. */
  touch(caller: Principal, idOrName: string): Promise<void>
  /** Returns the sandbox's id and the token that opens its previews until it is started anew. */
  previewAccess(caller: Principal, idOrName: string): Promise<{ id: string; token: string }>
  /** Returns the key that signs URLs of its files, across its starts. */
  signingKey(caller: Principal, idOrName: string): Promise<string>
  /** Replaces that key and returns the new one. URLs signed with the old key are refused from now on. */
  rotateSigningKey(caller: Principal, idOrName: string): Promise<string>
  /** Returns the id of the sandbox that has this name and is not destroyed. */
  idOfName(name: string, organizationId: string): Promise<string | undefined>
  /** Returns the sandboxes with these ids, of any organization, for the events that their organizations are told. */
  readMany(ids: readonly string[]): Promise<Map<string, SandboxFacts>>
  /** Returns a sandbox's organization and whether calls can reach it; undefined for an unknown id. */
  access(id: string): Promise<SandboxAccess | undefined>
}

export interface StartOptions {
  orStarted: boolean
  /** Ends the wait. */
  signal: AbortSignal
}

export interface StopOptions {
  force: boolean
  /** Ends the wait. */
  signal: AbortSignal
}

export function createSandboxService(options: SandboxServiceOptions): SandboxService {
  return new Sandboxes(options)
}

class Sandboxes implements SandboxService {
  private readonly options: SandboxServiceOptions

  constructor(options: SandboxServiceOptions) {
    this.options = options
  }

  async create(caller: Principal, body: CreateSandbox, signal: AbortSignal): Promise<SandboxFacts> {
    const row = await this.insert(caller, planSandbox(body))
    // A build may take long: clients wait for it themselves.
    if (body.buildInfo !== undefined) return toFacts(row)
    return toFacts(await this.options.waitUntilStarted(row, signal))
  }

  async createWorkspace(caller: Principal, body: CreateWorkspace, signal: AbortSignal): Promise<SandboxFacts> {
    const row = await this.insert(caller, planWorkspace(body))
    if (body.buildInfo !== undefined) return toFacts(row)
    try {
      return toFacts(await this.options.waitUntilStarted(row, signal))
    } catch (error) {
      if (!isNotStarted(error)) throw error
      return await this.get(caller, row.id)
    }
  }

  async list(caller: Principal, labels: Record<string, string>): Promise<SandboxFacts[]> {
    checkLabels(labels)
    const rows = await this.options.store.list(caller.organizationId, labels)
    return rows.map(toFacts)
  }

  async get(caller: Principal, idOrName: string): Promise<SandboxFacts> {
    return toFacts(await this.options.commands.find(caller, idOrName))
  }

  async askToStart(caller: Principal, idOrName: string): Promise<SandboxFacts> {
    return toFacts(await this.beginStart(caller, idOrName))
  }

  async start(caller: Principal, idOrName: string, { orStarted, signal }: StartOptions): Promise<SandboxFacts> {
    const row = await this.beginStart(caller, idOrName).catch(async (error: unknown) => {
      const found = orStarted && isConflict(error) ? await this.options.commands.find(caller, idOrName) : undefined
      if (found === undefined || shownState(found) !== 'started') throw error
      return found
    })
    // A restore may take long: clients wait for it themselves.
    if (shownState(row) === 'restoring') return toFacts(row)
    return toFacts(await this.options.waitUntilStarted(row, signal))
  }

  async stop(caller: Principal, idOrName: string, { force, signal }: StopOptions): Promise<SandboxFacts> {
    const row = await this.beginStop(caller, idOrName, force)
    // The stop is accepted, even if this wait fails.
    const later = await this.options.waitShortly(row, isStopping, signal).catch(() => undefined)
    return toFacts(later ?? row)
  }

  async delete(caller: Principal, idOrName: string): Promise<SandboxFacts> {
    return toFacts(await this.options.commands.give(caller, idOrName, { event: 'delete' }))
  }

  async setLabels(caller: Principal, idOrName: string, labels: Record<string, string>) {
    checkLabels(labels)
    const id = await this.options.commands.idOf(caller, idOrName)
    if ((await this.options.store.set(id, caller.organizationId, { labels })) === undefined)
      throw sandboxNotFound(idOrName)
    return labels
  }

  async touch(caller: Principal, idOrName: string): Promise<void> {
    const { id } = await this.options.commands.find(caller, idOrName)
    await this.options.store.touch(new Map([[id, this.options.now()]]))
  }

  async previewAccess(caller: Principal, idOrName: string): Promise<{ id: string; token: string }> {
    const { id, authToken } = await this.options.commands.find(caller, idOrName)
    if (authToken === null) throw sandboxNotFound(idOrName)
    return { id, token: authToken }
  }

  async signingKey(caller: Principal, idOrName: string): Promise<string> {
    const { signingKey } = await this.options.commands.find(caller, idOrName)
    if (signingKey === null) throw sandboxNotFound(idOrName)
    return signingKey
  }

  async rotateSigningKey(caller: Principal, idOrName: string): Promise<string> {
    const id = await this.options.commands.idOf(caller, idOrName)
    const signingKey = await this.options.store.rotateSigningKey(id, caller.organizationId)
    if (signingKey === undefined) throw sandboxNotFound(idOrName)
    return signingKey
  }

  async idOfName(name: string, organizationId: string): Promise<string | undefined> {
    return await this.options.commands.idOfName(name, organizationId)
  }

  async readMany(ids: readonly string[]): Promise<Map<string, SandboxFacts>> {
    const rows = await this.options.store.findMany(ids)
    // Members of warm pools have no organization to tell.
    return new Map(rows.filter((row) => row.organizationId !== null).map((row) => [row.id, toFacts(row)]))
  }

  async access(id: string): Promise<SandboxAccess | undefined> {
    if (!isUuid(id)) return undefined
    const row = await this.options.store.findOne(id)
    return row && accessOf(row)
  }

  /** Asks for the stop; a sandbox that is deleted when it stops is deleted at once. */
  private beginStop(caller: Principal, idOrName: string, force: boolean): Promise<SandboxRow> {
    const before = async () => ({ stopForced: force })
    return this.options.commands.give(caller, idOrName, { event: stopEvent, before })
  }

  private beginStart(caller: Principal, idOrName: string): Promise<SandboxRow> {
    const { commands, room } = this.options
    return commands.give(caller, idOrName, { event: 'start', before: (tx, row) => room.forStart(tx, row) })
  }

  private async insert(caller: Principal, asked: SandboxPlan): Promise<SandboxRow> {
    const { organizationId } = caller
    const [plan, snapshot] = await Promise.all([
      this.located(asked, organizationId),
      this.options.origins.choose(organizationId, asked),
    ])
    using handover = this.options.reconciler.handOver()
    const { row, origin } = await this.options.store.transaction(async (tx) => {
      // Every transaction takes the organization's lock first.
      const locking = this.options.quotas.requireActive(tx, organizationId)
      const claimed = await this.options.warm.claim(tx, { caller, plan, snapshot, organization: locking })
      if (claimed !== undefined) return { origin: undefined, row: claimed }
      const organization = await locking
      const origin = await this.options.origins.settle(tx, plan, { organization, snapshot })
      return { origin, row: await this.place(tx, { plan, caller, origin, organization, handover }) }
    })
    if (origin === undefined) this.options.onClaim(row)
    else origin.announce()
    handover.complete(row)
    this.options.changes.emit(row, row)
    return row
  }

  /** Returns the plan with its target resolved to a region. */
  private async located(plan: SandboxPlan, organizationId: string): Promise<SandboxPlan> {
    if (plan.target === undefined) return plan
    return { ...plan, target: await this.options.regions.resolve(plan.target, organizationId) }
  }

  /** Picks a runner and writes the row. The runners stay locked meanwhile, so that their room is not given twice. */
  private async place(tx: Queryable, placing: Placing): Promise<SandboxRow> {
    const { plan, origin, caller, organization, handover } = placing
    const { size, places, target } = origin
    const runnerId = await this.options.room.forNew(tx, organization, {
      ...size,
      places,
      target,
      class: plan.class,
    })
    const { ttlMinutes, asked: _, ...planned } = plan
    const state = origin.stateOn(runnerId)
    const columns = { ...planned, ...origin.columns, runnerId, target, state }
    const lease = state === 'creating' ? handover.lease(runnerId) : undefined
    const now = new Date(this.options.now())
    const autoDestroyAt = destroyAt(now.getTime(), ttlMinutes)
    const times = { changedAt: now, lastActivityAt: now, createdAt: now, updatedAt: now }
    const { organizationId } = caller
    const row = await this.options.store.insert(
      tx,
      { ...columns, ...times, autoDestroyAt, organizationId, desiredState: 'started', lease },
      { kind: 'user', id: caller.userId },
    )
    if (row === undefined) throw new AppError('SANDBOX_NAME_TAKEN', `Sandbox with name ${plan.name} already exists`)
    await origin.attach(tx, row.id)
    return row
  }
}

interface Placing {
  plan: SandboxPlan
  origin: SandboxOrigin
  caller: Principal
  organization: OrganizationRow
  handover: Handover
}

function isStopping(lifecycle: Parameters<Condition>[0]): boolean {
  return shownState(lifecycle) === 'stopping'
}

function isNotStarted(error: unknown): boolean {
  return error instanceof AppError && (error.code === 'SANDBOX_START_FAILED' || error.code === 'SANDBOX_START_TIMEOUT')
}

function isConflict(error: unknown): boolean {
  return error instanceof AppError && error.code === 'SANDBOX_STATE_CONFLICT'
}
