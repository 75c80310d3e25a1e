import type { RegistryAccess, RunnerAbilities, RunnerSnapshot, SnapshotReport, SnapshotSource } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { BuildContexts } from './build-contexts.ts'
import { nextReport } from './snapshot-progress.ts'
import type { MakerCandidate, SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import type { SnapshotRow } from './snapshot-table.ts'
import type { SnapshotWatch } from './snapshot-watch.ts'

/** The report that a step ends with. */
export interface SnapshotOutcome {
  event: SnapshotReport
  reason?: string
  made?: { sizeGib: number; digest: string | null }
}

/** Thrown when another try would fail the same way; the message is for the snapshot's user. */
export class SnapshotFailure extends Error {
  override readonly name = 'SnapshotFailure'
}

/** Thrown when no runner can be asked now, which says nothing of the snapshot. */
export class RunnerAwayError extends Error {
  override readonly name = 'RunnerAwayError'
}

export interface SnapshotStepsOptions {
  store: Pick<SnapshotStore, 'setRunner' | 'setAsked'>
  holdings: Pick<SnapshotRunnerStore, 'makers' | 'isBeingRemoved'>
  runners: { readyIds(): string[]; client(runnerId: string): RunnerClient | undefined }
  contexts: BuildContexts
  /** Returns the credentials of an organization at registries. */
  registries: (organizationId: string) => Promise<RegistryAccess[]>
  watch: SnapshotWatch
}

/**
 * Has a runner make `row`, and resolves with the next report as soon as there is one. Repeating it after a crash
 * anywhere inside does no harm: the runner's calls change nothing the second time.
 */
export type MakeSnapshotStep = (
  row: SnapshotRow,
  step: { owner: string; signal: AbortSignal },
) => Promise<SnapshotOutcome>

export function createMakeSnapshotStep(options: SnapshotStepsOptions): MakeSnapshotStep {
  const maker = new Maker(options)
  return (row, step) => maker.make(row, step)
}

class Maker {
  private readonly options: SnapshotStepsOptions

  constructor(options: SnapshotStepsOptions) {
    this.options = options
  }

  async make(row: SnapshotRow, { owner, signal }: { owner: string; signal: AbortSignal }): Promise<SnapshotOutcome> {
    const { holdings, watch } = this.options
    const runnerId = row.runnerId ?? (await this.choose(row, owner))
    // An earlier snapshot of this ref that is being removed must be gone first.
    while (await holdings.isBeingRemoved(row.ref)) await watch.wait(runnerId, row.ref, signal)
    let current = row
    for (;;) {
      const snapshot = await this.ensureAsked(this.clientOf(runnerId), current, signal)
      current = { ...row, asked: true }
      const event = snapshot && nextReport(row, snapshot.state)
      if (snapshot !== undefined && event !== undefined) return outcomeOf(event, snapshot)
      await watch.wait(runnerId, row.ref, signal)
    }
  }

  private clientOf(runnerId: string): RunnerClient {
    const client = this.options.runners.client(runnerId)
    if (client === undefined) throw new RunnerAwayError('the runner is not connected')
    return client
  }

  private async choose(row: SnapshotRow, owner: string): Promise<string> {
    if (row.kind === 'sandbox' || (row.kind === 'archive' && row.asked))
      throw new SnapshotFailure('Its runner was removed')
    // The runner of an archive is chosen by its upload.
    if (row.kind === 'archive') throw new RunnerAwayError('nothing has been uploaded yet')
    const { store, holdings, runners } = this.options
    const candidates = await holdings.makers(runners.readyIds(), row.region)
    if (candidates.length === 0) throw new RunnerAwayError('no runner is connected')
    const runner = candidates.find(({ abilities }) => missingFor(row, abilities) === undefined)
    if (runner === undefined) throw new SnapshotFailure(explain(row, candidates))
    if (!(await store.setRunner(row.id, owner, runner.id))) throw new RunnerAwayError('the lease is lost')
    return runner.id
  }

  /** Returns the runner's snapshot, after asking for it where needed; undefined while an upload has still to ask for it. */
  private async ensureAsked(
    client: RunnerClient,
    row: SnapshotRow,
    signal: AbortSignal,
  ): Promise<RunnerSnapshot | undefined> {
    const there = await getSnapshot(client, row.ref, signal)
    if (row.kind === 'archive') {
      if (there === undefined && row.asked) throw new SnapshotFailure('The upload was cut short')
      return there
    }
    const snapshot = await this.orAnew(client, { row, there }, signal)
    if (!row.asked) await this.options.store.setAsked(row.id)
    return snapshot.needsContent ? await this.sendContexts(client, row, signal) : snapshot
  }

  private async orAnew(
    client: RunnerClient,
    { row, there }: { row: SnapshotRow; there: RunnerSnapshot | undefined },
    signal: AbortSignal,
  ): Promise<RunnerSnapshot> {
    // An error from before the runner was asked belongs to an earlier attempt with the same content.
    const isOver = there?.state === 'error' && !row.asked
    if (there !== undefined && !isOver) return there
    if (isOver) await client.snapshots.remove(row.ref, signal)
    const registries = row.organizationId === null ? [] : await this.options.registries(row.organizationId)
    const bound = row.maxSizeGib === null ? {} : { maxSizeGiB: row.maxSizeGib }
    return await client.snapshots.make(row.ref, { source: sourceOf(row, registries), ...bound }, signal)
  }

  private async sendContexts(client: RunnerClient, row: SnapshotRow, signal: AbortSignal): Promise<RunnerSnapshot> {
    const hashes = row.buildInfo?.contextHashes ?? []
    const content = await this.options.contexts.open(row.organizationId ?? '', hashes, signal)
    try {
      return await client.snapshots.sendContent(row.ref, content, signal)
    } finally {
      content.destroy()
    }
  }
}

function sourceOf(row: SnapshotRow, registries: RegistryAccess[]): SnapshotSource {
  switch (row.kind) {
    case 'image':
      return { kind: 'image', reference: row.imageName ?? '', registries }
    case 'build': {
      const { dockerfileContent = '', contextHashes = [] } = row.buildInfo ?? {}
      return { kind: 'build', dockerfile: dockerfileContent, hasContext: contextHashes.length > 0, registries }
    }
    case 'directory':
      return { kind: 'directory', path: row.directory ?? '' }
    case 'sandbox':
      return { kind: 'sandbox', sandboxId: row.sourceSandboxId ?? '' }
    case 'archive':
      return { kind: 'archive' }
    case 'builtin':
      throw new SnapshotFailure('It is built in')
  }
}

/** Returns a runner's snapshot of a ref; undefined when it has none. */
export async function getSnapshot(
  client: RunnerClient,
  ref: string,
  signal: AbortSignal,
): Promise<RunnerSnapshot | undefined> {
  try {
    return await client.snapshots.get(ref, signal)
  } catch (error) {
    if (error instanceof RunnerCallError && error.code === 'SNAPSHOT_NOT_FOUND') return undefined
    throw error
  }
}

function outcomeOf(event: SnapshotReport, snapshot: RunnerSnapshot): SnapshotOutcome {
  if (event === 'failed') return { event, reason: snapshot.reason ?? 'The runner could not make it' }
  if (event !== 'validated' && event !== 'captured') return { event }
  return { event, made: { sizeGib: snapshot.sizeGiB, digest: snapshot.digest ?? null } }
}

/** Returns why a runner cannot make the snapshot; undefined when it can. */
function missingFor(row: Pick<SnapshotRow, 'kind'>, abilities: RunnerAbilities | null): string | undefined {
  const needed = { image: 'images', build: 'builds', directory: 'directories' } as const
  if (row.kind !== 'image' && row.kind !== 'build' && row.kind !== 'directory') return undefined
  const ability = abilities?.[needed[row.kind]]
  if (ability?.available === true) return undefined
  return ability?.reason ?? 'its runner cannot'
}

function explain(row: SnapshotRow, candidates: readonly MakerCandidate[]): string {
  const what = { image: 'pull images', build: 'build', directory: 'read directories' } as const
  const deed = row.kind === 'image' || row.kind === 'build' || row.kind === 'directory' ? what[row.kind] : 'do this'
  const reasons = new Set(candidates.map(({ abilities }) => missingFor(row, abilities)))
  return `No runner can ${deed}: ${[...reasons].join('; ')}`
}

/**
 * Returns the error reason for the snapshot's user. Only a runner's refusal is quoted: other failures concern the
 * operator.
 */
export function failureReason(error: unknown): string {
  if (error instanceof SnapshotFailure || error instanceof AppError) return error.message
  if (error instanceof RunnerCallError && (error.status < 500 || error.code === 'RUNNER_INCAPABLE'))
    return error.message
  return 'Its runner failed'
}
