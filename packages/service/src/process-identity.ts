import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * How often a process that is about to end is looked at, in milliseconds: the longer it has taken the more seldom, so
 * that hundreds can be waited for at once and none is noticed late by more than an eighth.
 */
const MIN_END_POLL_MS = 3
const MAX_END_POLL_MS = 100
const END_POLL_SHARE = 1 / 8

/** A process that cannot be mistaken for a later one with the same number, not even after a reboot. */
export interface ProcessIdentity {
  readonly pid: number
  /** The boot's id and the process's start in clock ticks since then. */
  readonly start: string
}

/** What /proc tells of a process, which may have ended without having been collected. Linux only. */
export interface ProcessSnapshot {
  readonly identity: ProcessIdentity
  readonly parentPid: number
  /** Set once it has ended and nobody has collected it: its status as waitpid tells it. */
  readonly waitStatus: number | undefined
}

/** Undefined when no process has that number. */
export function readProcess(pid: number): ProcessSnapshot | undefined {
  let stat: string
  try {
    // Node reads UTF-8 without the 64 KiB buffer that any other encoding takes; only the program's name may be none.
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // ENOENT or ESRCH: it has ended and was collected.
    return undefined
  }
  // The second field is the program's name in brackets and may hold anything; what follows is plain.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ended = fields[0] === 'Z' || fields[0] === 'X'
  return {
    identity: { pid, start: `${readBootId()}:${fields[19]}` },
    parentPid: Number(fields[1]),
    waitStatus: ended ? Number(fields[49]) : undefined,
  }
}

/** Undefined when no such process lives; one that has ended but was not collected does not. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const found = readProcess(pid)
  return found?.waitStatus === undefined ? found?.identity : undefined
}

/** The very process that was identified, ended or not; undefined once it was collected. */
export function findProcess(identity: ProcessIdentity): ProcessSnapshot | undefined {
  const found = readProcess(identity.pid)
  return found?.identity.start === identity.start ? found : undefined
}

/** True while the very process that was identified lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.start === identity.start
}

/** True as soon as the process has ended, collected or not; false when it has not within `deadlineMs`. */
export async function waitForEnd(identity: ProcessIdentity, deadlineMs: number): Promise<boolean> {
  const since = performance.now()
  for (;;) {
    if (!isAlive(identity)) return true
    const waitedMs = performance.now() - since
    if (waitedMs >= deadlineMs) return false
    await delay(Math.min(MAX_END_POLL_MS, Math.max(MIN_END_POLL_MS, waitedMs * END_POLL_SHARE)))
  }
}

/** Signals the very process that was identified, unless it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (findProcess(identity) !== undefined) sendSignal(identity.pid, signal)
}

/** Sends a signal; a process that is not there any more is not an error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

let bootId: string | undefined

/** The same for as long as this process lives. */
function readBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return bootId
}
