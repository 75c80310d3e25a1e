import { findLeftovers } from '@atoll/dev-env'
import { jsonOf } from './api-client.ts'
import { auditFiles } from './audit-files.ts'
import { hasFiles } from './audit-folders.ts'
import type { KnownSandbox } from './ledger.ts'
import { fallBack, freshFile } from './ledger.ts'
import type { Scene } from './scene.ts'
import type { SecondRunner } from './second-runner.ts'
import type { SandboxRow } from './system-rows.ts'
import { readRows } from './system-rows.ts'
import { waitFor } from './wait-for.ts'
import { backUp, create } from './worker.ts'

/** What a call of a sandbox on a lost runner is answered with. */
const UNREACHABLE = 'RUNNER_UNREACHABLE'
const FILE_BYTES = 4_096

/**
 * Loses the second runner's host, removes the runner, and judges what becomes of its sandboxes: what has a backup is
 * archived, the rest says what happened. The runner itself is refused, and cleans up. Throws where that takes too long.
 */
export async function loseForGood(scene: Scene, second: SecondRunner): Promise<void> {
  const { client, tally } = scene
  const rows = async () => (await readRows(scene.atoll.dataDir)).sandboxes
  await stopEverySecond(scene, second)
  const own = await makeOnSecond(scene, second)
  const before = (await rows()).filter((row) => row.runnerId === second.id && hasFiles(row)).map(({ id }) => id)
  tally.fact('lost for good', before.length)
  await second.vanish('host')
  const lost = await waitFor(scene, 'the sandboxes of the lost runner are not lost', async () => {
    const found = (await rows()).filter(({ id, lost }) => lost && before.includes(id))
    return found.length === before.length ? found : undefined
  })
  await refuseCalls(scene, own)
  const remove = { operation: 'remove runner', promised: 'quick' } as const
  const kept = await client.call('DELETE', `/runners/${second.id}`, remove)
  if (kept.kind !== 'refused' || kept.status !== 409) tally.problem('a lost runner with sandboxes was removed')
  const gone = await client.call('DELETE', `/runners/${second.id}?force=true`, remove)
  if (gone.kind !== 'ok') tally.problem(`a lost runner could not be removed: ${JSON.stringify(gone)}`)
  await judge(scene, lost)
  await second.startInVain()
  for (const { kind, name } of findLeftovers(second.dataDir))
    tally.problem(`of the runner that was lost: ${kind} ${name}`)
}

/** Of what is lost, some shall run and some be stopped. */
async function stopEverySecond(scene: Scene, second: SecondRunner): Promise<void> {
  const { sandboxes } = await readRows(scene.atoll.dataDir)
  const running = sandboxes.filter(({ runnerId, state }) => runnerId === second.id && state === 'started')
  const ids = new Set(running.filter((_, index) => index % 2 === 1).map(({ id }) => id))
  for (const sandbox of scene.ledger.sandboxes) {
    if (sandbox.id === undefined || !ids.has(sandbox.id)) continue
    await scene.calls.command(sandbox, 'stop')
    const isStopped = async () => (await scene.calls.look(sandbox)) === 'stopped' || undefined
    await waitFor(scene, `${sandbox.name} (${sandbox.id}) is not stopped`, isStopped)
  }
}

/** Two sandboxes with a file each, of which the first is backed up. */
async function makeOnSecond(scene: Scene, second: SecondRunner): Promise<KnownSandbox[]> {
  const { calls, client, ledger, tally } = scene
  const runners = jsonOf(await client.call('GET', '/runners', { operation: 'look at runner', promised: 'quick' }))
  const local = Object.values(runners ?? {}).find((runner) => idOf(runner) !== second.id)
  const place = async (unschedulable: boolean) => {
    const call = { operation: 'cordon', promised: 'quick', body: { unschedulable } } as const
    await client.call('PATCH', `/runners/${idOf(local)}/scheduling`, call)
  }
  await place(true)
  const made: KnownSandbox[] = []
  for (const number of [1, 2]) {
    const sandbox = await create(scene, `chaos-lost-${number}-${ledger.sandboxes.length}`)
    if (sandbox.state !== 'started') tally.problem(`${sandbox.name} could not be made on the second runner`)
    await calls.upload(sandbox, freshFile(sandbox), FILE_BYTES)
    made.push(sandbox)
  }
  await place(false)
  await auditFiles(scene, made)
  const [saved] = made
  if (saved !== undefined) await backUp({ calls, over: new AbortController().signal }, saved)
  if (!saved?.isSaved) tally.problem(`${saved?.name} could not be backed up`)
  return made
}

/** Nobody waits for a runner that is lost. */
async function refuseCalls({ client, tally }: Scene, sandboxes: readonly KnownSandbox[]): Promise<void> {
  const call = { operation: 'execute', promised: 'quick', body: { command: 'true' }, expected: UNREACHABLE } as const
  for (const { id, name } of sandboxes) {
    const outcome = await client.call('POST', `/toolbox/${id}/toolbox/process/execute`, call)
    const isRefused = outcome.kind === 'failed' && outcome.code === UNREACHABLE
    if (!isRefused) tally.problem(`a command of ${name} (${id}) on a lost runner was not refused`)
  }
}

async function judge(scene: Scene, lost: readonly SandboxRow[]): Promise<void> {
  const { ledger, tally } = scene
  const after = await waitFor(scene, 'the sandboxes of the removed runner are not given up', async () => {
    const { sandboxes } = await readRows(scene.atoll.dataDir)
    const rows = lost.map((row) => ({ row, now: sandboxes.find(({ id }) => id === row.id) }))
    return rows.every(({ now }) => now?.lost === false) ? rows : undefined
  })
  for (const { row, now } of after) {
    const known = ledger.sandboxes.find(({ id }) => id === row.id)
    const what = `${row.name} (${row.id}), which was ${row.state} on a runner that was lost for good, is ${now?.state}`
    const isArchived = now?.state === 'archived'
    if (isArchived !== (row.recoverableTo === 'archived')) tally.problem(`${what}; recoverable to ${row.recoverableTo}`)
    if (!isArchived && known?.isSaved) tally.problem(`${what}, though it was backed up`)
    if (!isArchived && (now?.state !== 'error' || !now.errorReason)) tally.problem(`${what} and does not say why`)
    if (known === undefined) continue
    if (isArchived) fallBack(known)
    else known.mayBeLost = true
  }
}

function idOf(runner: unknown): unknown {
  return typeof runner === 'object' && runner !== null ? Reflect.get(runner, 'id') : undefined
}
