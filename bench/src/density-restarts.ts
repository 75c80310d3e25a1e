import { setTimeout as delay } from 'node:timers/promises'
import type { RunningAtoll } from '@atoll/dev-env'
import type { BenchRow } from './bench-section.ts'
import type { SystemClient } from './system.ts'

const DEADLINE_MS = 90_000
const POLL_MS = 100
const CALLS_AT_ONCE = 4

/** Measures how long a system with many sandboxes takes to recover after `kill -9` of its API, and of its runner. */
export async function measureRestarts(
  atoll: RunningAtoll,
  client: SystemClient,
  ids: readonly string[],
): Promise<BenchRow[]> {
  const api = await timeMs(async (deadline) => {
    const { api: killed } = atoll.pids()
    process.kill(killed, 'SIGKILL')
    await until(deadline, async () => atoll.pids().api !== killed)
    await allAnswer(client, ids, deadline)
  })
  const runner = await timeMs(async (deadline) => {
    const { runner: killed } = atoll.pids()
    process.kill(killed, 'SIGKILL')
    await until(deadline, async () => atoll.pids().runner !== killed)
    // A create is refused until the runner has reported what it has.
    await until(deadline, () => createsAnother(client))
  })
  const started = await countStarted(client, ids)
  return [
    { name: 'API killed, until every toolbox answers', median: api, unit: 'ms' },
    { name: 'runner killed, until it has made another sandbox', median: runner, unit: 'ms' },
    {
      ...{ name: '… sandboxes that run and answer afterwards', median: started, unit: '' },
      ...{ target: String(ids.length), ok: started === ids.length },
    },
  ]
}

async function timeMs(work: (deadline: number) => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await work(startedAt + DEADLINE_MS)
  return performance.now() - startedAt
}

async function allAnswer(client: SystemClient, ids: readonly string[], deadline: number): Promise<void> {
  const todo = [...ids]
  const ask = async () => {
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) await until(deadline, () => answers(client, id))
  }
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, ask))
}

async function countStarted(client: SystemClient, ids: readonly string[]): Promise<number> {
  let count = 0
  for (const id of ids) if (await answers(client, id)) count += 1
  return count
}

function answers(client: SystemClient, id: string | undefined): Promise<boolean> {
  return client.get(id ?? '', 'files/info?path=/tmp').then(
    () => true,
    () => false,
  )
}

async function createsAnother(client: SystemClient): Promise<boolean> {
  const id = await client.createSandbox().catch(() => undefined)
  if (id !== undefined) await client.deleteSandbox(id)
  return id !== undefined
}

async function until(deadline: number, holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not whole again after ${DEADLINE_MS / 1000} s`)
    await delay(POLL_MS)
  }
}
