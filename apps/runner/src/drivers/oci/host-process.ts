import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'

/** How often a process that is about to end is looked at, in milliseconds. */
const END_POLL_MS = 10

/** Names one process until the next boot: a process id alone is given out again. */
export interface ProcessIdentity {
  pid: number
  /** Clock ticks since boot. */
  startTime: string
}

export interface ProcessSnapshot {
  startTime: string
  parentPid: number
  /** Set once the process has ended and nobody has collected it: its status as waitpid tells it. */
  waitStatus: number | undefined
}

/** Reads /proc/<pid>/stat; undefined when there is no such process. */
export async function readProcess(pid: number): Promise<ProcessSnapshot | undefined> {
  let text: string
  try {
    text = await readFile(`/proc/${pid}/stat`, 'latin1')
  } catch {
    // ENOENT or ESRCH: it has ended and was collected.
    return undefined
  }
  // The second field is the program's name in brackets and may hold anything; what follows is plain.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ended = fields[0] === 'Z' || fields[0] === 'X'
  return {
    parentPid: Number(fields[1]),
    startTime: fields[19] ?? '',
    waitStatus: ended ? Number(fields[49]) : undefined,
  }
}

/** The process if it is still the one that was named, ended or not. */
export async function findProcess(identity: ProcessIdentity): Promise<ProcessSnapshot | undefined> {
  const found = await readProcess(identity.pid)
  return found?.startTime === identity.startTime ? found : undefined
}

export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  const found = await readProcess(pid)
  return found && { pid, startTime: found.startTime }
}

/** False once the process has ended, collected or not. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const found = await findProcess(identity)
  return found !== undefined && found.waitStatus === undefined
}

/** True as soon as the process has ended, collected or not; false when it has not within `deadlineMs`. */
export async function waitForEnd(identity: ProcessIdentity, deadlineMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + deadlineMs
  for (;;) {
    if (!(await isAlive(identity))) return true
    if (performance.now() >= giveUpAt) return false
    await delay(END_POLL_MS)
  }
}

/** Signals the process unless it is gone. */
export async function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): Promise<void> {
  if ((await findProcess(identity)) !== undefined) sendSignal(identity.pid, signal)
}

/** Sends a signal; a process that is not there any more is not an error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** A wait status in words: `exit 3`, `killed by SIGKILL`. An init like tini passes a signal on as 128 and its number. */
export function describeWaitStatus(waitStatus: number): string {
  const exitCode = (waitStatus >> 8) & 0xff
  const signal = waitStatus & 0x7f || (exitCode > 128 ? exitCode - 128 : 0)
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0]
  return name === undefined ? `exit ${exitCode}` : `killed by ${name}`
}

/** Differs after each boot of the host. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim()
}
