import { auditFiles } from './audit-files.ts'
import { auditHost } from './audit-host.ts'
import { auditAcknowledged, auditGone, auditRows } from './audit-rows.ts'
import { whatFails, whatIsUncovered } from './coverage.ts'
import { loseForGood } from './lose-for-good.ts'
import { noting } from './noting.ts'
import type { Scene } from './scene.ts'
import { settle } from './settle.ts'
import type { SandboxRow } from './system-rows.ts'
import { readRows } from './system-rows.ts'

/** Between two tries, in milliseconds. */
const LOOK_EVERY_MS = 250

/** Lets the system come to rest, compares it with its rows, reads every file back, and judges the storm itself. */
export async function auditEverything(scene: Scene): Promise<void> {
  const { tally, ledger, options } = scene
  await empty(scene)
  await comeToRest(scene, 'settled after')
  scene.isCalm = true
  await compare(scene, 'after the storm')
  const { second } = scene
  if (second !== undefined) {
    await noting(tally, 'the loss of a runner', () => loseForGood(scene, second))
    scene.runners = 1
    await comeToRest(scene, 'without it after')
    await compare(scene, 'after a runner was lost')
  }
  const files = await auditFiles({ ...scene, withinMs: options.settleMs })
  for (const problem of auditAcknowledged(await readRows(scene.atoll.dataDir), ledger)) tally.problem(problem)
  if (options.interrupted?.aborted) return tally.fact('interrupted', 'what the storm has not shown is no problem')
  if (files === 0) tally.problem('not one file was read back')
  const uncovered = await whatIsUncovered(scene)
  if (uncovered.length > 0) tally.fact('not shown', uncovered.join(', '))
  for (const line of whatFails(uncovered, scene.options)) tally.problem(`the storm has shown too little: ${line}`)
}

/** Deletes what the API lists, and compares again. */
export async function deleteEverything(scene: Scene): Promise<void> {
  const { calls, client, ledger, pool, tally } = scene
  const listed = await client.call('GET', '/sandbox', { operation: 'list', promised: 'quick' })
  const ids = listed.kind === 'ok' ? (JSON.parse(listed.bytes.toString()) as { id: string; name: string }[]) : []
  for (const { id, name } of ids) {
    const known = ledger.sandboxes.find((sandbox) => sandbox.name === name)
    if (known !== undefined) await calls.delete(Object.assign(known, { id }))
  }
  if (pool !== undefined && !(await pool.delete())) tally.problem('the warm pool cannot be deleted')
  await comeToRest(scene, 'deleted after')
  const when = 'after everything was deleted'
  await compare(scene, when)
  for (const rest of auditGone(await readRows(scene.atoll.dataDir))) tally.problem(`${when}: ${rest}`)
}

/** Leaves nothing in the warm pool, as soon as the system hears of it. */
async function empty({ operator, options, pool, tally }: Scene): Promise<void> {
  const giveUpAt = performance.now() + options.settleMs
  while (pool !== undefined && !(await pool.resize(0))) {
    if (performance.now() > giveUpAt) return tally.problem('the warm pool cannot be emptied')
    await operator.look()
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

async function comeToRest({ atoll, operator, options, runners, tally }: Scene, fact: string): Promise<void> {
  const begunAt = performance.now()
  try {
    await settle(atoll, { withinMs: options.settleMs, runners, look: operator.look })
  } catch (error) {
    tally.problem(error instanceof Error ? error.message : String(error))
  }
  tally.fact(fact, `${((performance.now() - begunAt) / 1000).toFixed(1)} s`)
}

async function compare({ atoll, victims, runners, ledger, tally, ...scene }: Scene, when: string): Promise<void> {
  const { dataDir } = atoll
  const second = runners > 1 ? scene.second : undefined
  const rows = await readRows(dataDir)
  const of = (isIts: (row: SandboxRow) => boolean) => ({ ...rows, sandboxes: rows.sandboxes.filter(isIts) })
  const ofFirst = of(({ runnerId }) => second === undefined || runnerId !== second.id)
  const problems = [
    ...auditAcknowledged(rows, ledger),
    ...(await auditRows(rows, dataDir)),
    ...auditHost({ dataDir, rows: ofFirst, runnerPid: victims.runner(), knownPids: victims.own() }),
  ]
  if (second !== undefined) {
    const pid = second.pid()
    const ofSecond = of(({ runnerId }) => runnerId === second.id)
    problems.push(...auditHost({ dataDir: second.dataDir, rows: ofSecond, runnerPid: pid, knownPids: [pid] }))
  }
  for (const problem of problems) tally.problem(`${when}: ${problem}`)
}
