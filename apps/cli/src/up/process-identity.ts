import { readFileSync } from 'node:fs'

/** A process that cannot be mistaken for a later one with the same number, not even after a reboot. */
export interface ProcessIdentity {
  readonly pid: number
  /** The boot's id and the process's start in clock ticks since then. */
  readonly start: string
}

/** Undefined when no such process lives; one that has ended but was not reaped does not. Linux only. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // The process is gone.
    return undefined
  }
  // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (state === 'Z' || state === 'X') return undefined
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return { pid, start: `${bootId}:${fields[18]}` }
}

/** True while the very process that was identified lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.start === identity.start
}
