import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { DIAL_HOME_SOCKET_NAME } from '@atoll/protocol'
import type { ExecResult, ProbedSandbox } from './driver-harness.ts'

/** Deadlines far above the usual time: twenty sandboxes may start at once, beside other tests. */
const EXEC_DEADLINE_MS = 60_000
const HELLO_DEADLINE_MS = 60_000

/** The server that the agents in sandboxes dial home to. */
export interface ProbeServer extends AsyncDisposable {
  /** Folder that appears as /run/atoll. */
  readonly folder: string
  /** Resolves with the next agent that dials home from a sandbox. Call before starting the sandbox. */
  expect(sandboxId: string): Promise<ProbedSandbox>
}

type Reply = ExecResult & { id: number }
type Line = Reply | { hello: string; environment: Record<string, string> }

export async function startProbeServer(folder: string): Promise<ProbeServer> {
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const waiting = new Map<string, (sandbox: ProbedSandbox) => void>()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    greet(socket, (sandbox) => waiting.get(sandbox.sandboxId)?.(sandbox))
  })
  const path = join(folder, DIAL_HOME_SOCKET_NAME)
  server.listen(path)
  await once(server, 'listening')
  chmodSync(path, 0o666)
  return {
    folder,
    expect: (sandboxId) =>
      withDeadline(HELLO_DEADLINE_MS, `the agent of ${sandboxId} did not dial home`, (resolve) =>
        waiting.set(sandboxId, resolve),
      ),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function greet(socket: Socket, onHello: (sandbox: ProbedSandbox) => void): void {
  const replies = new Map<number, (reply: ExecResult) => void>()
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => socket.destroy())
  createInterface({ input: socket }).on('line', (text) => {
    const line: Line = JSON.parse(text)
    if ('hello' in line) return onHello(probe({ line, socket, replies, ended }))
    const { id, ...result } = line
    replies.get(id)?.(result)
  })
}

interface Connection {
  line: { hello: string; environment: Record<string, string> }
  socket: Socket
  replies: Map<number, (reply: ExecResult) => void>
  ended: Promise<void>
}

function probe({ line, socket, replies, ended }: Connection): ProbedSandbox {
  let last = 0
  return {
    sandboxId: line.hello,
    environment: line.environment,
    ended,
    exit: (code) => socket.write(`${JSON.stringify({ exit: code })}\n`),
    exec: (command, { deadlineMs = EXEC_DEADLINE_MS } = {}) => {
      last += 1
      const id = last
      const argv = typeof command === 'string' ? ['sh', '-c', command] : command
      const result = withDeadline<ExecResult>(deadlineMs, `no answer to ${argv.join(' ')}`, (resolve) =>
        replies.set(id, resolve),
      )
      socket.write(`${JSON.stringify({ id, argv })}\n`)
      const gone = ended.then(() => {
        throw new Error(`the sandbox ended during ${argv.join(' ')}`)
      })
      gone.catch(() => undefined)
      return Promise.race([result, gone]).finally(() => replies.delete(id))
    },
  }
}

/** Waits until `start` resolves its promise; throws when the deadline passes first. */
export async function withDeadline<Result>(
  deadlineMs: number,
  complaint: string,
  start: (resolve: (result: Result) => void) => void,
): Promise<Result> {
  const timer = new AbortController()
  const late = delay(deadlineMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${complaint} within ${deadlineMs} ms`)
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([new Promise<Result>(start), late])
  } finally {
    timer.abort()
  }
}
