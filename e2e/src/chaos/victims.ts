import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ProcessFacts, RunningAtoll } from '@atoll/dev-env'
import { descendantsOf, listProcesses } from '@atoll/dev-env'

/** The processes of a running system by what they are. */
export interface Victims {
  api(): number | undefined
  runner(): number | undefined
  supervisor(): number | undefined
  postmaster(): number | undefined
  /** All of the system's own processes. */
  own(): (number | undefined)[]
  /** Processes that the postmaster has made: sessions and its own helpers. */
  backends(): number[]
  /** The OCI runtimes, which wait for the end of their sandboxes, the youngest first. */
  runtimes(): number[]
  /** First processes of sandboxes. */
  toolboxes(): number[]
}

export function createVictims(atoll: RunningAtoll): Victims {
  const { dataDir } = atoll
  const pids = () => {
    try {
      return atoll.pids()
    } catch {
      // The lock that names them is not there while no supervisor runs.
      return undefined
    }
  }
  function postmaster(): number | undefined {
    const file = join(dataDir, 'postgres/data/postmaster.pid')
    const pid = existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : 0
    // The file outlives a server that was killed, and its number may be another's by now.
    return pid > 0 && commandOf(pid).includes(dataDir) ? pid : undefined
  }
  return {
    api: () => living(pids()?.api),
    runner: () => living(pids()?.runner),
    supervisor: () => living(pids()?.supervisor),
    postmaster,
    backends() {
      const pid = postmaster()
      return pid === undefined ? [] : descendantsOf(pid, listProcesses()).slice(1)
    },
    own() {
      const pid = postmaster()
      const database = pid === undefined ? [] : descendantsOf(pid, listProcesses())
      return [pids()?.supervisor, pids()?.api, pids()?.runner, ...database]
    },
    runtimes: () =>
      listProcesses()
        .filter((one) => isRuntime(one, dataDir))
        .map(({ pid }) => pid)
        .sort((one, other) => other - one),
    toolboxes: () =>
      sandboxProcesses(dataDir)
        .filter(isToolbox)
        .map(({ pid }) => pid),
  }
}

/** Processes in sandboxes of this data folder. */
export function sandboxProcesses(dataDir: string): ProcessFacts[] {
  const instance = join(dataDir, 'runner/instance-id')
  if (!existsSync(instance)) return []
  const cgroup = `/atoll-${readFileSync(instance, 'utf8').trim()}/`
  return listProcesses().filter(({ cgroups }) => cgroups.includes(cgroup))
}

function isRuntime({ command }: ProcessFacts, dataDir: string): boolean {
  const [program = '', option, folder] = command.split(' ')
  return /^(crun|runc)$/.test(basename(program)) && option === '--root' && folder === join(dataDir, 'runner/state')
}

function isToolbox({ command }: ProcessFacts): boolean {
  return /\/toolbox\/main\.js|\/opt\/atoll\//.test(command)
}

function living(pid: number | undefined): number | undefined {
  return pid !== undefined && pid > 0 && commandOf(pid) !== '' ? pid : undefined
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    // It has ended.
    return ''
  }
}
