import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { boundToRunner, CommandError, commandEnvironment } from '../../../run-command.ts'

/** Most characters of a program's error output that an error repeats. */
const MAX_COMPLAINT_CHARACTERS = 2_000

/** Capabilities that unpacking files of any owner and mode needs; devices cannot be made. */
export const UNPACK_CAPABILITIES = ['chown', 'dac_override', 'fowner', 'fsetid', 'setfcap'] as const

/**
 * Runs a program of the host, which sees only the host's programs, read-only, and one folder as /layer. It has namespaces of
 * its own, so that paths in an archive cannot lead it to other files. Its mounts end with it.
 */
const SCRIPT = `
set -eu
umask 022
root=$1 target=$2 capabilities=$3
shift 3
mount -t tmpfs -o size=64k,mode=755,nosuid,nodev,noexec tmpfs "$root"
cd "$root"
mkdir layer old proc
for name in usr bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" "$name"
  elif [ -d "/$name" ]; then
    mkdir "$name"
    mount --bind "/$name" "$name"
    mount -o remount,bind,ro,nosuid,nodev "$name"
  fi
done
mount --bind "$target" layer
mount -o remount,bind,nosuid,nodev,noexec layer
mount -t proc -o ro,nosuid,nodev,noexec proc proc
mount -o remount,ro .
pivot_root . old
cd /
umount -n -l /old
exec setpriv --no-new-privs --inh-caps=-all --bounding-set="-all$capabilities" -- "$@"
`

export interface JailOptions {
  /** An empty folder for the jail's root. */
  root: string
  /** Folder that appears as /layer, writable. */
  target: string
  capabilities: readonly string[]
  /** Program that runs first, and runs the rest of its arguments where `target` is visible. */
  through?: readonly string[] | undefined
  argv: readonly [string, ...string[]]
  signal: AbortSignal
}

/** Starts a program in a jail. It ends with `signal`. */
export function spawnJailed(options: JailOptions): ChildProcessWithoutNullStreams {
  const { root, target, capabilities, through = [], argv, signal } = options
  const allowed = capabilities.map((name) => `,+${name}`).join('')
  const isolation = ['--mount', '--net', '--ipc', '--uts', '--pid', '--fork', '--kill-child']
  const jail = ['unshare', ...isolation, '--', 'sh', '-c', SCRIPT, 'jail', root, target, allowed, ...argv]
  const [program, ...rest] = boundToRunner([...through, ...jail])
  const child = spawn(program, rest, {
    cwd: '/',
    env: commandEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  })
  child.stdin.on('error', () => {
    // The program ended without reading all input; its exit code says why.
  })
  return child
}

/** Settles when a child ends: rejects with CommandError, with the child's error output, unless its exit code is 0. */
export function endOfChild(child: ChildProcess & { stderr: Readable }, name: string): Promise<void> {
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT_CHARACTERS)
  })
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new CommandError(`${name} could not be run: ${cause.message}`, { cause })))
    child.once('close', (code, signal) => {
      if (code === 0) return resolve()
      const why = code === null ? `was ended by ${signal}` : `exited ${code}`
      const said = complaint.trim()
      reject(new CommandError(`${name} ${why}${said === '' ? '' : `: ${said}`}`, { code: code ?? undefined }))
    })
  })
}
