import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '@atoll/service'
import { readProcess } from '@atoll/service'
import { commandEnvironment } from '../../run-command.ts'
import type { AttachableDisk } from './disks/disk-store.ts'
import { ATTACH_DISK } from './disks/disk-store.ts'
import type { NetworkConnection } from './network/connect-network.ts'
import { CONNECT_NETWORK, connectionVariables } from './network/connect-network.ts'
import { FILES_FOLDER, MOUNT_DISK } from './sandbox-disk.ts'
import type { SandboxFolder } from './sandbox-folder.ts'
import { describeWaitStatus } from './wait-status.ts'

/** How long a launch may take until the sandbox's first process runs, in milliseconds. */
const LAUNCH_DEADLINE_MS = 30_000
/** How often the first process is looked for, in milliseconds. */
const INIT_POLL_MS = 3
/** Most characters of the runtime's messages that are kept of one launch, and that an error repeats. */
const MAX_COMPLAINT_CHARACTERS = 2_000

/**
 * The script of the monitor process. It runs in a mount namespace of its own, so that no mount shows on the host and all of
 * them end with the last process in it, however that ends. It connects the network, if the sandbox has one, and meanwhile
 * waits for lines that say how the disk is attached and where the folder is. It says `ready` when the root file system is
 * mounted and the network connected, waits for another line, and runs the OCI runtime, which waits for the sandbox's end.
 * If one of the lines does not come (the runner died), the script detaches the disk and ends, and so do the mounts.
 *
 * The script starts all programs itself: a shell does that in a fraction of the time that this process needs.
 */
const SCRIPT = `${MOUNT_DISK}${ATTACH_DISK}${CONNECT_NETWORK}
set -eu
umask 022
connecting=
if [ -n "\${NETWORK_INSIDE:-}" ]; then
  connect_network &
  connecting=$!
fi
cgroups=$1 disk=$2 layers=$3 output=$4 ending=$5
shift 5
if [ "$cgroups" = hide-unified ]; then umount /sys/fs/cgroup/unified; fi
IFS= read -r image
IFS= read -r namespace
attached=
trap '[ -z "$attached" ] || losetup --detach "$attached"' EXIT
if [ "$disk" = image ]; then
  device=$(attach_disk "$image" "$namespace")
  if [ -n "$namespace" ]; then attached=$device; fi
fi
IFS= read -r folder
cd "$folder"
detaching=
if [ "$disk" = image ]; then
  mount_disk "$device" run/disk nosuid,nodev,noinit_itable,discard
  if [ -n "$namespace" ]; then
    losetup --detach "$device" &
    detaching=$! attached=
  fi
else
  mount --bind ${FILES_FOLDER} run/disk
fi
if [ ! -d run/disk/work ]; then mkdir -p run/disk/upper run/disk/work; fi
options="lowerdir=$layers,upperdir=run/disk/upper,workdir=run/disk/work"
mount -t overlay -o "nosuid,nodev,xino=off,index=off,redirect_dir=off,metacopy=off,$options" overlay run/rootfs
if [ -n "\${SETUP_SCRIPT:-}" ]; then sh -eu -c "$SETUP_SCRIPT" setup; fi
for beside in $detaching $connecting; do wait "$beside"; done
unset SETUP_SCRIPT SETUP_ARGUMENTS NETWORK_INSIDE NETWORK_OUTSIDE NETWORK_OF_RUNNER
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
  /** True for a runtime that refuses a host with both cgroup versions unless version 2 is hidden from it. */
  hidesUnifiedCgroup: boolean
  /**
   * How a sandbox's exit status and counters outlive its first process, so that they can be read later, also by a runner
   * started later. `kept`: the runtime is told to leave an ended sandbox's cgroup alone (--keep), and the exit code is
   * written to a file. `held`: the runtime would remove everything at once, so it is stopped (SIGSTOP) while it waits; its
   * child then stays a zombie when it ends, with its status.
   */
  ending: 'kept' | 'held'
}

export interface LaunchOptions {
  runtime: OciRuntime
  /** The runtime's own state. */
  stateFolder: string
  sandboxId: string
  /** Folder of the sandbox by the time the runtime runs. */
  folder: SandboxFolder
  disk: 'image' | 'folder'
  /** Resolves when the disk can be attached; its value is unused for a `folder` disk. */
  attachable: Promise<AttachableDisk>
  /** Resolves when the bundle is written, with the path of the sandbox's files while they are mounted. */
  written: Promise<string>
  /** Paths relative to the sandbox's folder, topmost first, without the characters that separate mount options. */
  layers: readonly string[]
  /** File of the host that gets the first process's output. */
  output: string
  /** Runs in the sandbox's mount namespace, in its folder, before it starts. */
  setup?: SetupScript | undefined
  /** Absent: the runtime makes a network namespace with loopback only. */
  network: NetworkConnection | undefined
  /** Called when everything is mounted and connected, before the runtime runs. */
  settle: () => Promise<void>
}

/** A program for `sh`. It gets its arguments in the variable SETUP_ARGUMENTS, one a line; none contains a line end. */
export interface SetupScript {
  script: string
  arguments: readonly string[]
}

export interface LaunchedSandbox {
  init: ProcessIdentity
  /** The process that waits for the end of `init`: the runtime or, where it is run with --keep, its shell. */
  monitor: ProcessIdentity
}

/** Thrown when no process could be started; the message quotes the runtime. */
class LaunchError extends Error {
  override readonly name = 'LaunchError'
}

/** Starts a sandbox from its bundle and returns when its first process runs its own program. Throws LaunchError. */
export async function launchSandbox(options: LaunchOptions): Promise<LaunchedSandbox> {
  const monitor = watchMonitor(spawnMonitor(options))
  try {
    await mountIn(monitor, options)
    await options.settle()
    monitor.tell('go')
    return await monitor.whileAlive(findLaunched(options, monitor))
  } catch (error) {
    monitor.kill()
    throw new LaunchError(await complaint(error, options.folder), { cause: error })
  } finally {
    monitor.letGo()
  }
}

async function mountIn(monitor: Monitor, { attachable, written }: LaunchOptions): Promise<void> {
  const { image, namespace } = await attachable
  monitor.tell(`${image}\n${namespace}`)
  monitor.tell(await written)
  await monitor.whileAlive(monitor.ready)
}

function spawnMonitor(options: LaunchOptions): ChildProcessWithoutNullStreams {
  const { runtime, folder } = options
  const namespaces = options.network ? ['--mount', '--net'] : ['--mount']
  const place = [runtime.hidesUnifiedCgroup ? 'hide-unified' : 'plain', options.disk]
  const call = [
    ...[runtime.path, '--root', options.stateFolder, '--log', folder.runtimeLog, '--log-format', 'json', 'run'],
    ...(runtime.ending === 'kept' ? ['--keep'] : []),
    ...['--bundle', folder.bundle, '--pid-file', folder.pidFile, options.sandboxId],
  ]
  const rest = [options.layers.join(':'), options.output, runtime.ending]
  return spawn(
    'unshare',
    [...namespaces, '--', 'sh', '-c', SCRIPT, 'sandbox', ...place, ...rest, ...call],
    // Starts a session of its own: a Ctrl-C in the runner's terminal must not reach sandboxes.
    { cwd: '/', env: { ...commandEnvironment(), ...variablesOf(options) }, stdio: 'pipe', detached: true },
  )
}

function variablesOf({ setup, network }: LaunchOptions): Record<string, string> {
  const lines = setup?.arguments.map((word) => `${word}\n`).join('')
  return {
    ...(network === undefined ? {} : connectionVariables(network)),
    ...(setup === undefined ? {} : { SETUP_SCRIPT: setup.script, SETUP_ARGUMENTS: lines ?? '' }),
  }
}

interface Monitor {
  readonly pid: number
  /** Resolves when the process has said `ready`. */
  readonly ready: Promise<void>
  /** Aborts when the process has ended or the deadline has passed. */
  readonly over: AbortSignal
  /** Writes the lines that the process waits for next. */
  tell(lines: string): void
  /** Settles as `work` does, or rejects when the process ends or the deadline passes first. */
  whileAlive<Result>(work: Promise<Result>): Promise<Result>
  kill(): void
  /** Closes the streams to the process, which lives on. */
  letGo(): void
}

/** Watches the process that runs `unshare`, then the script, then the OCI runtime. */
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
  // `ready` is all the process ever says.
  const ready = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  child.once('error', (error) => fail(error.message))
  child.once('close', (code, signal) => fail(complaint.trim() || `ended at once: ${endOf(code, signal)}`))
  child.stdin.on('error', () => {
    // The process ended before it was told to go on; 'close' says why.
  })
  return {
    pid: child.pid ?? -1,
    ready,
    over: over.signal,
    tell: (lines) => child.stdin.write(`${lines}\n`),
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

/** Returns the first argument of a process; undefined when it is gone. The runtime's path until it runs its own program. */
async function readProgram(pid: number): Promise<string | undefined> {
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => undefined)
  return commandLine?.split('\0', 1)[0]
}

/** Returns the message of an error, with the messages that the runtime logged. */
async function complaint(error: unknown, folder: SandboxFolder): Promise<string> {
  const log = await readFile(folder.runtimeLog, 'utf8').catch(() => '')
  const said = log.split('\n').flatMap((line) => /"msg" ?: ?"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? [])
  const message = error instanceof Error ? error.message : String(error)
  return [message, ...said].join('; ').slice(0, MAX_COMPLAINT_CHARACTERS)
}
