import { readFileSync, writeFileSync } from 'node:fs'

/** Megabytes of a process's memory: now (VmRSS), or the most since the last reset (VmHWM). */
export function residentMb(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1.024e-3
}

/** Makes the present use the peak. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}
