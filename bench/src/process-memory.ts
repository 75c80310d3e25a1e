import { readFileSync, writeFileSync } from 'node:fs'

/** Returns the memory of a process in MB: the present one (VmRSS), or the peak since the last reset (VmHWM). */
export function residentMb(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1.024e-3
}

/** Resets the peak to the present use. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}
