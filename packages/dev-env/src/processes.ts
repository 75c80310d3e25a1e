import { readdirSync, readFileSync } from 'node:fs'

/** A process as /proc shows it; a field that cannot be read is empty. */
export interface ProcessFacts {
  pid: number
  parentPid: number
  command: string
  environment: string
  cgroups: string
}

/** Returns every process except those that have ended and were not reaped. Linux only. */
export function listProcesses(): ProcessFacts[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name)
    const stat = Number.isInteger(pid) ? readProc(`${pid}/stat`) : ''
    const [state, parentPid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (parentPid === undefined || state === 'Z') return []
    const [command, environment, cgroups] = ['cmdline', 'environ', 'cgroup'].map((file) => readProc(`${pid}/${file}`))
    return [
      {
        pid,
        parentPid: Number(parentPid),
        command: (command ?? '').replaceAll('\0', ' ').trim(),
        environment: environment ?? '',
        cgroups: cgroups ?? '',
      },
    ]
  })
}

/** Returns `rootPid` and its descendants, parents first. */
export function descendantsOf(rootPid: number, processes: readonly ProcessFacts[]): number[] {
  const children = processes.filter((one) => one.parentPid === rootPid)
  return [rootPid, ...children.flatMap((child) => descendantsOf(child.pid, processes))]
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    // The process has ended meanwhile.
    return ''
  }
}
