import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { SandboxLimits } from '@atoll/protocol'
import { DIAL_HOME_SOCKET_NAME } from '@atoll/protocol'
import { isAlive } from '@atoll/service'
import { sharedDialHome } from '../../../dial-homes.ts'
import type { LaunchedSandbox } from '../launch-sandbox.ts'
import type { OciHost } from '../oci-host.ts'
import { sandboxEnvironment } from '../sandbox-environment.ts'
import type { SandboxFolder, SandboxRecord } from '../sandbox-folder.ts'
import { makeSandboxFolder, removeSandboxFolder, sandboxFolder } from '../sandbox-folder.ts'
import type { Configure } from '../sandbox-run.ts'
import { endRun, startRun } from '../sandbox-run.ts'
import type { SandboxUser, Snapshot } from '../snapshot.ts'

/** Limits of a trial, which does little. */
const TRIAL_LIMITS = { cpu: 1, memoryGiB: 0.5, diskGiB: 0.25, pids: 256 }
/** How long the first byte that it sends may take after its start, in milliseconds. */
const WORD_DEADLINE_MS = 30_000
/** Most bytes that are kept of its output. */
const MAX_WORD_BYTES = 1024 * 1024
/** A trial dials once, and perhaps again. */
const MAX_CONNECTIONS = 4
/** Pause after each piece of an output that is passed on, in milliseconds: it is read no faster than about 16 MiB/s. */
const PACE_MS = 4
const ALIVE_POLL_MS = 100
const ROOT: SandboxUser = { name: 'root', uid: 0, gid: 0, additionalGids: [], home: '/' }

export interface TrialOptions {
  host: OciHost
  /** An existing folder; the socket of the trial lies below, so its path must be short. */
  sockets: string
  /** The snapshot to try; its accounts need not be known yet. */
  snapshot: Snapshot
  /** Absent: root. */
  user?: SandboxUser | undefined
  command: readonly string[]
  /** Absent: TRIAL_LIMITS. */
  limits?: SandboxLimits
  network?: 'nat' | 'none'
  configure?: Configure
  /** Called with the bytes that it sends, which are then not kept. */
  onData?: (chunk: Buffer) => void
  signal: AbortSignal
}

/** A sandbox that was started and has dialled home. */
export interface RunningTrial {
  /** Resolves with all bytes that it sends, at most MAX_WORD_BYTES, or with an empty text when its first process ends before. */
  readonly said: Promise<string>
  readonly folder: SandboxFolder
  readonly record: SandboxRecord
  /** Throws an Error when its first process ends within this time. */
  staysUp(milliseconds: number): Promise<void>
  /** Ends its processes; its files stay until the trial is over. */
  halt(): Promise<void>
}

/**
 * Starts a sandbox for `use`, by default without a network, and removes all of it afterwards. Recovery after a crash takes its
 * name for a draft's. Throws what starting throws, and an Error when the sandbox does not dial home in time.
 */
export async function trySnapshot<Result>(
  options: TrialOptions,
  use: (trial: RunningTrial) => Promise<Result>,
): Promise<Result> {
  const { host, snapshot, user = ROOT } = options
  const sandboxId = `try.draft-${randomUUID()}`
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  const { limits = TRIAL_LIMITS, network = 'none' } = options
  const spec = { snapshot: snapshot.name, user: user.name, limits, network }
  const record: SandboxRecord = { spec, disk: host.disk }
  await using listener = await listenForTrial(options.sockets, options.onData)
  const tried = { ...host, dialHomes: sharedDialHome(listener.folder) }
  await makeSandboxFolder(folder, { record, disks: host.disks, fill: (draft) => host.disks.create(draft, record) })
  let launched: LaunchedSandbox | undefined
  const halt = async () => {
    const ending = launched
    launched = undefined
    await endRun(tried, { sandboxId, folder }, ending)
  }
  try {
    options.signal.throwIfAborted()
    const environment = sandboxEnvironment({ sandboxId, user, toolboxToken: randomUUID(), env: {} })
    const sandbox = { sandboxId, folder, record, snapshot, user }
    const { command, configure } = options
    const run = { command, environment, output: '/dev/null', ...(configure === undefined ? {} : { configure }) }
    const started = await startRun(tried, sandbox, run)
    launched = started
    const staysUp = (milliseconds: number) => watch(started, milliseconds, options.signal)
    await heard(listener.firstWord, { launched: started, signal: options.signal })
    const said = Promise.race([listener.said, ended(started, options.signal)])
    said.catch(() => undefined)
    return await use({ said, folder, record, staysUp, halt })
  } finally {
    await halt()
    await removeSandboxFolder(folder, host.disks)
  }
}

async function heard(word: Promise<void>, { launched, signal }: { launched: LaunchedSandbox; signal: AbortSignal }) {
  const over = new AbortController()
  const waiting = watch(launched, WORD_DEADLINE_MS, AbortSignal.any([signal, over.signal])).then(() => {
    if (!over.signal.aborted) throw new Error(`it did not dial home within ${WORD_DEADLINE_MS / 1000} s`)
  })
  waiting.catch(() => undefined)
  try {
    await Promise.race([word, waiting])
  } finally {
    over.abort()
  }
}

/** Resolves with an empty text when the first process has ended; rejects when `signal` aborts. */
async function ended({ init }: LaunchedSandbox, signal: AbortSignal): Promise<string> {
  while (isAlive(init)) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, ALIVE_POLL_MS))
  }
  return ''
}

/** Resolves after this time; rejects when the first process ends before, or `signal` aborts. */
async function watch({ init }: LaunchedSandbox, milliseconds: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + milliseconds
  while (performance.now() < until) {
    signal.throwIfAborted()
    if (!isAlive(init)) throw new Error('its first process ended')
    await new Promise((resolve) => setTimeout(resolve, ALIVE_POLL_MS))
  }
}

interface TrialListener extends AsyncDisposable {
  readonly folder: string
  /** Resolves with the first byte. */
  readonly firstWord: Promise<void>
  readonly said: Promise<string>
}

async function listenForTrial(parent: string, onData?: (chunk: Buffer) => void): Promise<TrialListener> {
  const folder = join(parent, randomBytes(3).toString('hex'))
  await mkdir(folder, { mode: 0o755 })
  const path = join(folder, DIAL_HOME_SOCKET_NAME)
  const sockets = new Set<Socket>()
  const chunks: Buffer[] = []
  let bytes = 0
  let onWord: () => void = () => undefined
  let onEnd: (text: string) => void = () => undefined
  const firstWord = new Promise<void>((resolve) => {
    onWord = resolve
  })
  const said = new Promise<string>((resolve) => {
    onEnd = resolve
  })
  const server = createServer((socket) => {
    sockets.add(socket)
    const end = () => onEnd(Buffer.concat(chunks).toString('utf8'))
    socket.on('data', (chunk) => {
      onWord()
      if (onData) {
        onData(chunk)
        socket.pause()
        setTimeout(() => socket.resume(), PACE_MS)
        return
      }
      bytes += chunk.length
      if (bytes <= MAX_WORD_BYTES) chunks.push(chunk)
      else socket.destroy()
    })
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      sockets.delete(socket)
      end()
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  server.listen(path)
  await once(server, 'listening')
  await chmod(path, 0o666)
  return {
    folder,
    firstWord,
    said,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
