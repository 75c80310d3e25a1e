import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ProcessIdentity } from '@atoll/service'
import { readProcess, signalProcess, waitForEnd } from '@atoll/service'

/** Setting, unknown to PostgreSQL itself, by which a server's command line says which process owns it. */
export const OWNER_SETTING = 'atoll.owner_pid'

/** A PostgreSQL server that runs on a data folder. */
export interface RunningPostmaster {
  readonly identity: ProcessIdentity
  /** The process that started it; undefined when that is gone. */
  readonly ownerPid: number | undefined
}

/** Time for an orphan to end after SIGINT, then after SIGQUIT; SIGKILL follows. */
const ORPHAN_DEADLINES_MS = [
  ['SIGINT', 5_000],
  ['SIGQUIT', 2_000],
  ['SIGKILL', 2_000],
] as const
const PID_FILE = 'postmaster.pid'

/** The server that holds `dataDir` now. A pid file whose process is dead, or is another program, does not count. */
export async function findPostmaster(dataDir: string): Promise<RunningPostmaster | undefined> {
  const pid = await readPidFile(dataDir)
  return pid === undefined ? undefined : inspect(pid, dataDir)
}

/**
 * Removes a pid file whose process id belongs to something else now, or to a zombie: PostgreSQL would take that
 * for a living server. A file of a process that is gone stays, since PostgreSQL replaces it safely.
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

/** Ends a server without owner: politely, then not. Throws when it survives. */
export async function stopOrphan({ identity }: RunningPostmaster, dataDir: string): Promise<void> {
  for (const [signal, deadlineMs] of ORPHAN_DEADLINES_MS) {
    signalProcess(identity, signal)
    if (await waitForEnd(identity, deadlineMs)) return
  }
  throw new Error(`the PostgreSQL with pid ${identity.pid} on ${dataDir} has no owner and cannot be ended`)
}

/** A zombie's command line is empty, so it counts as gone. */
async function inspect(pid: number, dataDir: string): Promise<RunningPostmaster | undefined> {
  const commandLine = (await readOrEmpty(`/proc/${pid}/cmdline`)).split('\0')
  if (!commandLine[0]?.endsWith('postgres') || !commandLine.includes(dataDir)) return undefined
  const prefix = `${OWNER_SETTING}=`
  const owner = Number(commandLine.find((word) => word.startsWith(prefix))?.slice(prefix.length))
  // A process whose parent ends gets another parent, so this owner lives exactly as long as it is the parent.
  const found = readProcess(pid)
  return found && { identity: found.identity, ownerPid: found.parentPid === owner ? owner : undefined }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // The file or the process is gone, which is an answer.
    return ''
  }
}
