import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { processesOf } from './leftovers.ts'
import { descendantsOf, listProcesses, type ProcessFacts } from './processes.ts'

const KILL_WITHIN_MS = 10_000
const LOOK_EVERY_MS = 10
const FREEZERS = '/sys/fs/cgroup/freezer'

/** Sends SIGKILL to `root`, its descendants and all processes of the data folder until none of them lives. */
export async function killEverything(dataDir: string, root: ChildProcess): Promise<void> {
  const deadline = Date.now() + KILL_WITHIN_MS
  // The descendants are listed before the first process dies: after that they are no longer below `root`.
  const doomed = new Set(root.exitCode === null && root.pid ? descendantsOf(root.pid, listProcesses()) : [])
  for (;;) {
    const processes = listProcesses()
    const living = [...processesOf(dataDir, processes), ...processes.filter((one) => doomed.has(one.pid))]
    if (living.length === 0) return
    if (Date.now() > deadline) throw new Error(`does not die: ${living.map((one) => one.command).join(', ')}`)
    for (const one of living) kill(one)
    await delay(LOOK_EVERY_MS)
  }
}

function kill({ pid, cgroups }: ProcessFacts): void {
  const [, freezer = '/'] = /^\d+:freezer:(.+)$/m.exec(cgroups) ?? []
  try {
    process.kill(pid, 'SIGKILL')
    // A process that a killed runner left frozen dies once it is thawed; with cgroup v2 it dies frozen.
    if (freezer !== '/') writeFileSync(join(FREEZERS, freezer, 'freezer.state'), 'THAWED')
  } catch {
    // The process has ended meanwhile.
  }
}
