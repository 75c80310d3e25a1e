import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ProcessIdentity } from '@atoll/service'
import { readProcess, signalProcess, waitForEnd } from '@atoll/service'

/** A setting, unknown to PostgreSQL itself, by which the command line of a server names the process that owns it. */
export const OWNER_SETTING = 'atoll.owner_pid'

/** A PostgreSQL server that runs on a data folder. */
export interface RunningPostmaster {
  readonly identity: ProcessIdentity
  /** The process that started it; undefined when that process has ended. */
  readonly ownerPid: number | undefined
}

/** Time for an orphan to end after SIGINT, then after SIGQUIT; SIGKILL follows. */
const ORPHAN_DEADLINES_MS = [
  ['SIGINT', 5_000],
  ['SIGQUIT', 2_000],
  ['SIGKILL', 2_000],
] as const
const PID_FILE = 'postmaster.pid'

/** Finds the server that holds `dataDir` now. A pid file of a dead process, or of another program, does not count. */
export async function findPostmaster(dataDir: string): Promise<RunningPostmaster | undefined> {
  const pid = await readPidFile(dataDir)
  return pid === undefined ? undefined : inspect(pid, dataDir)
}

/**
 * Removes a pid file whose process id now belongs to another program, or to a zombie: PostgreSQL would take it for a
 * living server. The file of a process that has ended stays, since PostgreSQL replaces it safely.
 */
export async function removeMisleadingPidFile(dataDir: string): Promise<void> {
  const pid = await readPidFile(dataDir)
  if (pid === undefined || readProcess(pid) === undefined) return
  if ((await inspect(pid, dataDir)) === undefined) await rm(join(dataDir, PID_FILE), { force: true })
}

async function readPidFile(dataDir: string): Promise<number | undefined> {
  const pid = Number.parseInt(await readOrEmpty(join(dataDir, PID_FILE)), 10)
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
}

/** Ends a server without an owner, first by SIGINT, in the end by SIGKILL. Throws when it survives. */
export async function stopOrphan({ identity }: RunningPostmaster, dataDir: string): Promise<void> {
  for (const [signal, deadlineMs] of ORPHAN_DEADLINES_MS) {
    signalProcess(identity, signal)
    if (await waitForEnd(identity, deadlineMs)) return
  }
  throw new Error(`the PostgreSQL with pid ${identity.pid} on ${dataDir} has no owner and cannot be ended`)
}

/** Describes a process if it is a server on `dataDir`. A zombie's command line is empty, so it counts as ended. */
async function inspect(pid: number, dataDir: string): Promise<RunningPostmaster | undefined> {
  const commandLine = (await readOrEmpty(`/proc/${pid}/cmdline`)).split('\0')
  if (!commandLine[0]?.endsWith('postgres') || !commandLine.includes(dataDir)) return undefined
  const prefix = `${OWNER_SETTING}=`
  const owner = Number(commandLine.find((word) => word.startsWith(prefix))?.slice(prefix.length))
  // A process whose parent ends gets another parent, so the owner lives exactly while it is the parent.
  const found = readProcess(pid)
  return found && { identity: found.identity, ownerPid: found.parentPid === owner ? owner : undefined }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // A missing file or process reads as empty.
    return ''
  }
}
