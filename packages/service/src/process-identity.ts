import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * The interval of looking whether a process has ended, in milliseconds. It grows with the wait, so that hundreds can be
 * waited for at once and each end is noticed late by at most an eighth of the wait.
 */
const MIN_END_POLL_MS = 3
const MAX_END_POLL_MS = 100
const END_POLL_SHARE = 1 / 8

/** The identity of a process; a later process with the same number has another, even after a reboot. */
export interface ProcessIdentity {
  readonly pid: number
  /** The boot's id and the process's start in clock ticks since then. */
  readonly start: string
}

/** A process as /proc shows it; it may have ended and not been reaped. Linux only. */
export interface ProcessSnapshot {
  readonly identity: ProcessIdentity
  readonly parentPid: number
  /** Set when the process has ended and was not reaped: its status, as waitpid returns it. */
  readonly waitStatus: number | undefined
}

/** Reads a process from /proc; returns undefined if no process has that number. */
export function readProcess(pid: number): ProcessSnapshot | undefined {
  let stat: string
  try {
    // Node reads UTF-8 without the 64 KiB buffer of any other encoding; only the program's name may be invalid UTF-8.
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // ENOENT or ESRCH: the process has ended and was reaped.
    return undefined
  }
  // The second field is the program's name in brackets and may hold any character; the fields after it are plain.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ended = fields[0] === 'Z' || fields[0] === 'X'
  return {
    identity: { pid, start: `${readBootId()}:${fields[19]}` },
    parentPid: Number(fields[1]),
    waitStatus: ended ? Number(fields[49]) : undefined,
  }
}

/** Returns the identity of a living process; undefined if there is none, or if it has ended and was not reaped. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const found = readProcess(pid)
  return found?.waitStatus === undefined ? found?.identity : undefined
}

/** Reads the identified process, ended or not; returns undefined once it was reaped. */
export function findProcess(identity: ProcessIdentity): ProcessSnapshot | undefined {
  const found = readProcess(identity.pid)
  return found?.identity.start === identity.start ? found : undefined
}

/** Returns whether the identified process lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.start === identity.start
}

/** Returns true as soon as the process has ended, reaped or not; false if it has not ended within `deadlineMs`. */
export async function waitForEnd(identity: ProcessIdentity, deadlineMs: number): Promise<boolean> {
  const since = performance.now()
  for (;;) {
    if (!isAlive(identity)) return true
    const waitedMs = performance.now() - since
    if (waitedMs >= deadlineMs) return false
    await delay(Math.min(MAX_END_POLL_MS, Math.max(MIN_END_POLL_MS, waitedMs * END_POLL_SHARE)))
  }
}

/** Signals the identified process, unless it is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (findProcess(identity) !== undefined) sendSignal(identity.pid, signal)
}

/** Sends a signal; does nothing if the process is gone. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

let bootId: string | undefined

/** Returns the boot's id, read once: it stays the same while this process lives. */
function readBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return bootId
}
