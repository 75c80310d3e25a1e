import type { ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { processesOf } from './leftovers.ts'
import { descendantsOf, listProcesses } from './processes.ts'

const KILL_WITHIN_MS = 10_000
const LOOK_EVERY_MS = 10

/** SIGKILL to `root`, all below it and all that belong to the data folder, until none of them lives. */
export async function killEverything(dataDir: string, root: ChildProcess): Promise<void> {
  const deadline = Date.now() + KILL_WITHIN_MS
  // Before the first dies: its children would no longer be below it.
  const doomed = new Set(root.exitCode === null && root.pid ? descendantsOf(root.pid, listProcesses()) : [])
  for (;;) {
    const processes = listProcesses()
    const living = [...processesOf(dataDir, processes), ...processes.filter((one) => doomed.has(one.pid))]
    if (living.length === 0) return
    if (Date.now() > deadline) throw new Error(`does not die: ${living.map((one) => one.command).join(', ')}`)
    for (const one of living) kill(one.pid)
    await delay(LOOK_EVERY_MS)
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended while we looked.
  }
}
