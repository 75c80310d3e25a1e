import { readdir, readFile, stat } from 'node:fs/promises'
import type { ProcessInfo, ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'

/** Processes that are listed; newer ones are only counted. */
const MAX_LISTED = 4096
/** Longest command line shown, in characters. */
const MAX_COMMAND_CHARS = 4096
/** The unit of the times in /proc, USER_HZ: 100 a second on every architecture Node runs on. */
const TICKS_PER_SECOND = 100
const PAGE_BYTES = 4096
const PASSWD_FILE = '/etc/passwd'

/** Places in /proc/<pid>/stat after the name, see proc(5). */
const STATE = 0
const PARENT = 1
const USER_TICKS = 11
const SYSTEM_TICKS = 12
const START_TICKS = 19
const RESIDENT_PAGES = 21

/** Lists the processes of the sandbox, as /proc shows them to its user. */
export const listProcesses: Handler<ToolboxOperations['listProcesses']> = async () => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const [users, bootedAtMs] = await Promise.all([userNames(), bootTimeMs()])
  const processes: ProcessInfo[] = []
  for (const pid of pids.sort((a, b) => a - b).slice(0, MAX_LISTED)) {
    const info = await describeProcess(pid, { users, bootedAtMs })
    if (info !== undefined) processes.push(info)
  }
  return { processes, total: pids.length }
}

/** Returns undefined for a process that is gone by now. */
async function describeProcess(
  pid: number,
  about: { users: ReadonlyMap<string, string>; bootedAtMs: number },
): Promise<ProcessInfo | undefined> {
  try {
    const [line, commandLine, { uid }] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      stat(`/proc/${pid}`),
    ])
    const name = line.slice(line.indexOf('(') + 1, line.lastIndexOf(')'))
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
    const number = (place: number) => Number(fields[place])
    const startedAtMs = about.bootedAtMs + (number(START_TICKS) * 1000) / TICKS_PER_SECOND
    // Each argument ends with a NUL; a kernel thread or a dead process has none.
    const words = commandLine.replace(/\0+$/, '').replaceAll('\0', ' ')
    return {
      pid,
      ppid: number(PARENT),
      user: about.users.get(String(uid)) ?? String(uid),
      command: (words === '' ? `[${name}]` : words).slice(0, MAX_COMMAND_CHARS),
      state: fields[STATE] ?? '?',
      startedAt: new Date(startedAtMs).toISOString(),
      memoryBytes: number(RESIDENT_PAGES) * PAGE_BYTES,
      cpuTimeMs: ((number(USER_TICKS) + number(SYSTEM_TICKS)) * 1000) / TICKS_PER_SECOND,
    }
  } catch {
    return undefined
  }
}

async function userNames(): Promise<Map<string, string>> {
  const lines = (await readFile(PASSWD_FILE, 'utf8').catch(() => '')).split('\n')
  return new Map(lines.map((line) => line.split(':')).map(([name = '', , uid = '']) => [uid, name]))
}

async function bootTimeMs(): Promise<number> {
  return Number(/^btime (\d+)$/m.exec(await readFile('/proc/stat', 'utf8'))?.[1]) * 1000
}
