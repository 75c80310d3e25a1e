import type { Readable } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { GitCommand, GitProcessParts } from './git-process.ts'

/** The longest wait for the end of a process group that is being ended; longer than the grace before SIGKILL. */
const END_WAIT_MS = 10_000
/** The most bytes of the first line: the digits of a process number and a line break, with room. */
const MAX_FIRST_LINE_BYTES = 32

/** Holds one git process to its limits. */
export interface ProcessWatch {
  /** Aborts with the reason why the process was ended. */
  readonly stopped: AbortSignal
  /** Rejects when the process was ended and its end is still not reported. */
  readonly given: Promise<never>
  attach(stdout: Readable, stderr: Readable): void
  close(): void
}

export function watchProcess(command: GitCommand, { groups, limits }: GitProcessParts): ProcessWatch {
  const stop = new AbortController()
  let leader: number | undefined
  let closed = false
  let giveUp: ((reason: unknown) => void) | undefined
  let giveUpTimer: NodeJS.Timeout | undefined
  const given = new Promise<never>((_, reject) => {
    giveUp = reject
  })
  given.catch(() => {})

  function end(reason: unknown): void {
    if (closed || stop.signal.aborted) return
    stop.abort(reason)
    if (leader !== undefined) groups.end(leader)
    giveUpTimer = setTimeout(() => giveUp?.(reason), END_WAIT_MS)
  }

  function started(pid: number): void {
    leader = pid
    groups.add(pid)
    if (stop.signal.aborted) groups.end(pid)
  }

  const onGone = () => end(command.signal.reason)
  command.signal.addEventListener('abort', onGone)
  const totalMs = command.talksToRemote ? limits.remoteMs : limits.localMs
  const total = setTimeout(() => end(new AppError('REQUEST_TIMEOUT', `git ran for ${totalMs / 1000} s`)), totalMs)
  const silence = command.talksToRemote ? setTimeout(() => end(silent(limits.silenceMs)), limits.silenceMs) : undefined

  return {
    stopped: stop.signal,
    given,
    attach(stdout, stderr) {
      const moved = () => {
        if (!closed) silence?.refresh()
      }
      const tooMuch = (bytes: number) =>
        end(new AppError('PAYLOAD_TOO_LARGE', `git has more to say than ${bytes} bytes`))
      const sizes = { stdout: 0, stderr: 0 }
      let firstLine = ''
      stdout.on('data', (chunk: Buffer) => {
        moved()
        sizes.stdout += chunk.length
        if (sizes.stdout > limits.maxStdoutBytes) tooMuch(limits.maxStdoutBytes)
      })
      stderr.on('data', (chunk: Buffer) => {
        moved()
        sizes.stderr += chunk.length
        if (sizes.stderr > limits.maxStderrBytes) tooMuch(limits.maxStderrBytes)
        if (leader !== undefined || firstLine.length > MAX_FIRST_LINE_BYTES) return
        firstLine += chunk.toString('latin1', 0, MAX_FIRST_LINE_BYTES)
        const pid = /^(\d+)\n/.exec(firstLine)?.[1]
        if (pid !== undefined) started(Number(pid))
      })
    },
    close() {
      closed = true
      clearTimeout(total)
      clearTimeout(silence)
      clearTimeout(giveUpTimer)
      command.signal.removeEventListener('abort', onGone)
      if (leader !== undefined) groups.leaderExited(leader)
    },
  }
}

function silent(ms: number): AppError {
  return new AppError('GIT_TRANSPORT_FAILED', `the remote was silent for ${ms / 1000} s`)
}
