import type { ChildProcessByStdio } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { boundToRunner, commandEnvironment } from '../../../run-command.ts'
import { endOfChild } from '../archive/jail.ts'

/** Arguments that make tar keep everything of files; only sockets are lost, which a copy cannot use. */
const TAR_ARGUMENTS = [
  '--create',
  '--format=posix',
  // Leaves out times that cannot be set or that reading changes.
  '--pax-option=delete=atime,delete=ctime',
  '--numeric-owner',
  '--sparse',
  '--xattrs',
  '--xattrs-include=user.*',
  '--xattrs-include=security.capability',
  '--xattrs-include=trusted.overlay.opaque',
  // ACLs with the numbers that the kernel keeps: --acls would write the names that these have on this host.
  '--xattrs-include=system.posix_acl_*',
  '--warning=no-file-ignored',
] as const

export interface PackOptions {
  /** Program that runs tar, for example in another mount namespace. */
  through?: readonly string[]
  /** Absolute. */
  folder: string
  /** Relative names in the folder, not beginning like an option; or another --directory for the names after it. */
  names?: readonly string[]
  /** Further arguments of tar. */
  arguments?: readonly string[]
  /** Passed to the child as its descriptor 3, so that `folder` may name it. */
  descriptor?: number | undefined
  signal: AbortSignal
}

/** Yields the files of a folder as a tar archive. Throws CommandError, with tar's error output, where it fails. */
export async function* packFiles(options: PackOptions): AsyncGenerator<Buffer> {
  const { through = [], folder, names = ['.'], signal } = options
  const argv = [...through, 'tar', ...TAR_ARGUMENTS, ...(options.arguments ?? []), `--directory=${folder}`, ...names]
  const [program, ...rest] = boundToRunner(argv)
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(program, rest, {
    cwd: '/',
    env: commandEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe', ...(options.descriptor === undefined ? [] : [options.descriptor])],
    signal,
    killSignal: 'SIGKILL',
  }) as ChildProcessByStdio<null, Readable, Readable>
  const ended = endOfChild(child, 'tar')
  ended.catch(() => undefined)
  try {
    for await (const chunk of child.stdout) yield chunk
    await ended
  } finally {
    child.kill('SIGKILL')
  }
}
