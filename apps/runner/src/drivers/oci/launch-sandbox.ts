import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '@atoll/service'
import { readProcess } from '@atoll/service'
import { allOver } from '../../concurrency.ts'
import { commandEnvironment } from '../../run-command.ts'
import { FILES_FOLDER, MOUNT_DISK } from './sandbox-disk.ts'
import type { SandboxFolder } from './sandbox-folder.ts'
import { describeWaitStatus } from './wait-status.ts'

/** How long a sandbox may take from nothing to its first process, in milliseconds. */
const LAUNCH_DEADLINE_MS = 30_000
/** How often the first process is looked for, in milliseconds. */
const INIT_POLL_MS = 3
/** Most characters of what the runtime said that an error repeats, and that are kept of one launch. */
const MAX_COMPLAINT_CHARACTERS = 2_000

/**
 * Runs in a mount namespace of its own, so that no mount shows on the host and all of them end with the
 * last process in it, however that ends. It says `namespaces` at once, from when on the network can be set up beside
 * it, waits for a line that names what to mount of an image, says `ready` when the root file system stands, waits for
 * another line, by when the network is there, and runs the OCI runtime, which waits for the sandbox's end. Without one of
 * the lines (this process died) it ends, and so do the mounts.
 */
const SCRIPT = `${MOUNT_DISK}
set -eu
umask 022
echo namespaces
cgroups=$2 disk=$3 layers=$4 output=$5 ending=$6
cd "$1"
shift 6
if [ "$cgroups" = hide-unified ]; then umount /sys/fs/cgroup/unified; fi
IFS= read -r source
if [ "$disk" = image ]; then
  mount_disk "$source" run/disk nosuid,nodev,noinit_itable,discard
else
  mount --bind ${FILES_FOLDER} run/disk
fi
if [ ! -d run/disk/work ]; then mkdir -p run/disk/upper run/disk/work; fi
options="lowerdir=$layers,upperdir=run/disk/upper,workdir=run/disk/work"
mount -t overlay -o "nosuid,nodev,xino=off,index=off,redirect_dir=off,metacopy=off,$options" overlay run/rootfs
if [ -n "\${SETUP_SCRIPT:-}" ]; then sh -eu -c "$SETUP_SCRIPT" setup; fi
unset SETUP_SCRIPT SETUP_ARGUMENTS
echo ready
read -r go
if [ "$ending" = held ]; then exec "$@" </dev/null >"$output" 2>&1; fi
exec 2>/dev/null
code=0
"$@" </dev/null >"$output" 2>&1 || code=$?
echo "$code" >run/exit
`

export interface OciRuntime {
  /** Absolute. */
  path: string
  /** Its name and version, such as `crun 1.8.1`. */
  label: string
  /** True for a runtime that refuses a host with both cgroup versions unless the newer is out of its sight. */
  hidesUnifiedCgroup: boolean
  /**
   * How a sandbox's exit status and counters outlive its first process, so that they can be read whenever that is
   * convenient, also by a runner started later. `kept`: the runtime can be told to leave an ended sandbox's cgroup
   * alone (--keep), and its exit code is written to a file. `held`: it removes all at once, and is stopped while
   * it waits; its child then stays a zombie when it ends, with its status.
   */
  ending: 'kept' | 'held'
}

export interface LaunchOptions {
  runtime: OciRuntime
  /** The runtime's own state. */
  stateFolder: string
  sandboxId: string
  /** Its bundle is written; the process waits in it for its files. */
  folder: SandboxFolder
  disk: 'image' | 'folder'
  /** What to mount of an image, once it is known; anything for a folder. */
  source: Promise<string>
  /** Relative to the sandbox's folder, topmost first, without the characters that mount options are made of. */
  layers: readonly string[]
  /** Where the first process's output goes, on the host. */
  output: string
  /** Runs among the sandbox's mounts, in its folder, before it starts. */
  setup?: SetupScript | undefined
  /** Called when the network namespace of `pid` is the sandbox's; absent: the runtime makes one with loopback only. */
  attachNetwork?: (pid: number) => Promise<void>
}

/** A program for `sh`, with arguments that contain no end of line in its variable SETUP_ARGUMENTS, one in each line. */
export interface SetupScript {
  script: string
  arguments: readonly string[]
}

export interface LaunchedSandbox {
  init: ProcessIdentity
  /** The process that waits for the end of `init`: the runtime or, where that keeps what has ended, its shell. */
  monitor: ProcessIdentity
}

/** Thrown when no process could be started; the message has the runtime's words. */
export class LaunchError extends Error {
  override readonly name = 'LaunchError'
}

/** Starts a sandbox from its bundle and answers when its first process runs its own program. Throws LaunchError. */
export async function launchSandbox(options: LaunchOptions): Promise<LaunchedSandbox> {
  const monitor = watchMonitor(spawnMonitor(options))
  try {
    await allOver(mountIn(monitor, options), attachTo(monitor, options))
    monitor.tell('go')
    return await monitor.whileAlive(findLaunched(options, monitor))
  } catch (error) {
    monitor.kill()
    throw new LaunchError(await complaint(error, options.folder), { cause: error })
  } finally {
    monitor.letGo()
  }
}

async function mountIn(monitor: Monitor, { source }: LaunchOptions): Promise<void> {
  monitor.tell(await source)
  await monitor.whileAlive(monitor.said('ready'))
}

async function attachTo(monitor: Monitor, { attachNetwork }: LaunchOptions): Promise<void> {
  await monitor.whileAlive(monitor.said('namespaces'))
  await attachNetwork?.(monitor.pid)
}

function spawnMonitor(options: LaunchOptions): ChildProcessWithoutNullStreams {
  const { runtime, folder } = options
  const namespaces = options.attachNetwork ? ['--mount', '--net'] : ['--mount']
  const place = [folder.path, runtime.hidesUnifiedCgroup ? 'hide-unified' : 'plain', options.disk]
  const call = [
    ...[runtime.path, '--root', options.stateFolder, '--log', folder.runtimeLog, '--log-format', 'json', 'run'],
    ...(runtime.ending === 'kept' ? ['--keep'] : []),
    ...['--bundle', folder.bundle, '--pid-file', folder.pidFile, options.sandboxId],
  ]
  const rest = [options.layers.join(':'), options.output, runtime.ending]
  return spawn(
    'unshare',
    [...namespaces, '--', 'sh', '-c', SCRIPT, 'sandbox', ...place, ...rest, ...call],
    // A session of its own: a Ctrl-C in the runner's terminal is not for sandboxes.
    { cwd: '/', env: { ...commandEnvironment(), ...setupEnvironment(options) }, stdio: 'pipe', detached: true },
  )
}

function setupEnvironment({ setup }: LaunchOptions): Record<string, string> {
  if (setup === undefined) return {}
  return { SETUP_SCRIPT: setup.script, SETUP_ARGUMENTS: setup.arguments.map((word) => `${word}\n`).join('') }
}

interface Monitor {
  readonly pid: number
  /** Resolves once it has said this. */
  said(word: 'namespaces' | 'ready'): Promise<void>
  /** Aborted when the process has ended or the deadline has passed. */
  readonly over: AbortSignal
  /** Gives it the next line that it waits for. */
  tell(line: string): void
  /** Settles as `work` does, or rejects when the process ends or the deadline passes first. */
  whileAlive<Result>(work: Promise<Result>): Promise<Result>
  kill(): void
  /** Lets go of the process, which lives on. */
  letGo(): void
}

/** The process on its way from `unshare` over the script to the OCI runtime. */
function watchMonitor(child: ChildProcessWithoutNullStreams): Monitor {
  const over = new AbortController()
  const failure = new Promise<never>((_, reject) =>
    over.signal.addEventListener('abort', () => reject(over.signal.reason)),
  )
  failure.catch(() => undefined)
  const fail = (message: string) => over.abort(new Error(message))
  const timer = setTimeout(() => fail(`took longer than ${LAUNCH_DEADLINE_MS} ms to start`), LAUNCH_DEADLINE_MS)
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT_CHARACTERS)
  })
  let words = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-MAX_COMPLAINT_CHARACTERS)
  })
  child.once('error', (error) => fail(error.message))
  child.once('close', (code, signal) => fail(complaint.trim() || `ended at once: ${endOf(code, signal)}`))
  child.stdin.on('error', () => {
    // It ended before it was told to go on; 'close' says why.
  })
  return {
    pid: child.pid ?? -1,
    said: (word) =>
      new Promise((resolve) => {
        const look = () => {
          if (words.includes(`${word}\n`)) resolve()
        }
        child.stdout.on('data', look)
        look()
      }),
    over: over.signal,
    tell: (line) => child.stdin.write(`${line}\n`),
    whileAlive: (work) => Promise.race([work, failure]),
    kill: () => child.kill('SIGKILL'),
    letGo: () => {
      clearTimeout(timer)
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy()
      child.unref()
    },
  }
}

function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  return code === null ? `killed by ${signal}` : describeWaitStatus(code << 8)
}

/** Waits for the process id that the runtime writes, and then for that process to become the sandbox's own program. */
async function findLaunched({ folder, runtime }: LaunchOptions, monitor: Monitor): Promise<LaunchedSandbox> {
  while (!monitor.over.aborted) {
    const pid = Number(await readFile(folder.pidFile, 'latin1').catch(() => ''))
    if (pid > 0 && (await readProgram(pid)) !== runtime.path) {
      const [init, self] = [readProcess(pid), readProcess(monitor.pid)]
      if (init && self) return { init: init.identity, monitor: self.identity }
    }
    await delay(INIT_POLL_MS)
  }
  throw new Error('ended before its first process ran', { cause: monitor.over.reason })
}

/** The first argument of a process; undefined when it is gone. Until it runs its own, it has the runtime's. */
async function readProgram(pid: number): Promise<string | undefined> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => undefined)
  return commandLine?.split('\0', 1)[0]
}

/** What went wrong, with what the runtime wrote about it. */
async function complaint(error: unknown, folder: SandboxFolder): Promise<string> {
  const log = await readFile(folder.runtimeLog, 'utf8').catch(() => '')
  const said = log.split('\n').flatMap((line) => /"msg" ?: ?"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? [])
  const message = error instanceof Error ? error.message : String(error)
  return [message, ...said].join('; ').slice(0, MAX_COMPLAINT_CHARACTERS)
}
