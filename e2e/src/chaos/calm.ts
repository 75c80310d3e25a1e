import { auditFiles, auditUnread } from './audit-files.ts'
import { auditHost } from './audit-host.ts'
import { auditAcknowledged, auditGone, auditRows } from './audit-rows.ts'
import { whatFails, whatIsUncovered } from './coverage.ts'
import { everyDeed } from './every-deed.ts'
import { loseForGood } from './lose-for-good.ts'
import { noting } from './noting.ts'
import type { Scene } from './scene.ts'
import { settle } from './settle.ts'
import type { SandboxRow } from './system-rows.ts'
import { readRows } from './system-rows.ts'

/** Between two tries, in milliseconds. */
const LOOK_EVERY_MS = 250

/**
 * Lets the system come to rest, compares it with its rows, judges the storm itself, and reads every file back: once before, and
 * once after a runner is lost for good.
 */
export async function auditEverything(scene: Scene): Promise<void> {
  const { tally, ledger, options, second } = scene
  await empty(scene)
  await comeToRest(scene, 'settled after')
  scene.isCalm = true
  await compare(scene, 'after the storm')
  if (options.interrupted?.aborted) tally.fact('interrupted', 'what the storm has not shown is no problem')
  else await noting(tally, 'the look at what the storm has shown', () => judgeStorm(scene))
  await readBack(scene, '')
  await noting(tally, 'what is done in the calm', () => everyDeed(scene))
  await comeToRest(scene, 'at rest after')
  if (second !== undefined) {
    await noting(tally, 'the loss of a runner', () => loseForGood(scene, second))
    scene.runners = 1
    await comeToRest(scene, 'without it after')
    await compare(scene, 'after a runner was lost')
    await readBack(scene, ' again')
  }
  for (const problem of auditAcknowledged(await readRows(scene.atoll.dataDir), ledger)) tally.problem(problem)
  for (const problem of auditUnread(ledger)) tally.problem(problem)
}

/** A storm in which too little happens shows nothing. */
async function judgeStorm(scene: Scene): Promise<void> {
  const uncovered = await whatIsUncovered(scene)
  if (uncovered.length > 0) scene.tally.fact('not shown', uncovered.join(', '))
  for (const line of whatFails(uncovered, scene.options)) scene.tally.problem(`the storm has shown too little: ${line}`)
}

async function readBack(scene: Scene, again: string): Promise<void> {
  const { tally, ledger, options } = scene
  const { files, states } = await auditFiles(scene, ledger.sandboxes)
  const words = Object.entries(states).map(([state, number]) => `${state} ${number}`)
  tally.fact(`sandboxes${again}`, words.join(', ') || 'none')
  tally.fact(`files read${again}`, files)
  if (files === 0 && !options.interrupted?.aborted) tally.problem(`not one file was read back${again}`)
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
