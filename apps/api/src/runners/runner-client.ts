import type {
  LaunchSandbox,
  NetworkRules,
  ResizeSandbox,
  SandboxSpec,
  StartSandbox,
  StopSandbox,
} from '@atoll/protocol'
import { RunnerEvent, RunnerInfo, SandboxStatus } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { openDuplex, requestBuffered, TunnelError } from '@atoll/tunnel'
import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { readLines } from './read-lines.ts'
import { parseJson, RunnerCallError, readAnswer } from './runner-answer.ts'
import type { RunnerArchiveClient } from './runner-archive-client.ts'
import { createRunnerArchiveClient } from './runner-archive-client.ts'
import type { RunnerSnapshotClient } from './runner-snapshot-client.ts'
import { createRunnerSnapshotClient } from './runner-snapshot-client.ts'
import type { RunnerVolumeClient } from './runner-volume-client.ts'
import { createRunnerVolumeClient } from './runner-volume-client.ts'

/** The longest reply of a runner, in bytes: the list of its sandboxes, at about 100 bytes each. */
const MAX_RESPONSE_BYTES = 16 * 1024 * 1024

/** The longest event, in bytes. */
const MAX_EVENT_BYTES = 64 * 1024

/** The timeout of a call that has none of its own, in milliseconds, even if its caller's signal aborts later. */
const CALL_TIMEOUT_MS = 30_000
/** The timeout of a call that makes a sandbox and starts it, in milliseconds. */
export const LAUNCH_TIMEOUT_MS = 40_000
/** The same timeout for a fork, whose files a runner that cannot share blocks copies for up to ten minutes. */
export const FORK_TIMEOUT_MS = 11 * 60_000
/** The timeout of a resize, in milliseconds: a disk is checked, then grows, and runners allow ten minutes for each. */
export const RESIZE_TIMEOUT_MS = 21 * 60_000

const SandboxList = Type.Object({ items: Type.Array(SandboxStatus) })

/** The runner's HTTP interface. Every call may be repeated. Throws RunnerCallError, or TunnelError if no reply came. */
export interface RunnerClient {
  info(signal?: AbortSignal): Promise<RunnerInfo>
  list(signal?: AbortSignal): Promise<SandboxStatus[]>
  status(id: string, signal?: AbortSignal): Promise<SandboxStatus>
  make(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<SandboxStatus>
  start(id: string, body: StartSandbox, signal?: AbortSignal): Promise<SandboxStatus>
  launch(id: string, body: LaunchSandbox, signal?: AbortSignal): Promise<SandboxStatus>
  stop(id: string, body: StopSandbox, signal?: AbortSignal): Promise<SandboxStatus>
  resize(id: string, body: ResizeSandbox, signal?: AbortSignal): Promise<SandboxStatus>
  setNetwork(id: string, body: NetworkRules, signal?: AbortSignal): Promise<SandboxStatus>
  remove(id: string, signal?: AbortSignal): Promise<void>
  readonly archives: RunnerArchiveClient
  readonly snapshots: RunnerSnapshotClient
  readonly volumes: RunnerVolumeClient
  /** Returns the events of the runner from the moment this resolves. The iteration has no timeout, and throws when the link ends. */
  events(): Promise<AsyncIterable<RunnerEvent>>
}

function launchTimeoutMs({ spec }: LaunchSandbox): number {
  return spec.forkOf === undefined ? LAUNCH_TIMEOUT_MS : FORK_TIMEOUT_MS
}

export function createRunnerClient(peer: TunnelPeer): RunnerClient {
  const call = (request: Call) => callRunner(peer, request)
  return {
    info: (signal) => answer(RunnerInfo, call({ method: 'GET', path: '/info', signal })),
    async list(signal) {
      const { items } = await answer(SandboxList, call({ method: 'GET', path: '/sandboxes', signal }))
      return items
    },
    status: (id, signal) => answer(SandboxStatus, call({ method: 'GET', path: sandboxPath(id), signal })),
    make: (id, body, signal) => answer(SandboxStatus, call({ method: 'PUT', path: sandboxPath(id), body, signal })),
    start: (id, body, signal) =>
      answer(SandboxStatus, call({ method: 'POST', path: `${sandboxPath(id)}/start`, body, signal })),
    launch: (id, body, signal) =>
      answer(
        SandboxStatus,
        call({ method: 'PUT', path: `${sandboxPath(id)}/launch`, body, signal, timeoutMs: launchTimeoutMs(body) }),
      ),
    stop: (id, body, signal) =>
      answer(SandboxStatus, call({ method: 'POST', path: `${sandboxPath(id)}/stop`, body, signal })),
    resize: (id, body, signal) =>
      answer(
        SandboxStatus,
        call({ method: 'POST', path: `${sandboxPath(id)}/resize`, body, signal, timeoutMs: RESIZE_TIMEOUT_MS }),
      ),
    setNetwork: (id, body, signal) =>
      answer(SandboxStatus, call({ method: 'PUT', path: `${sandboxPath(id)}/network`, body, signal })),
    async remove(id, signal) {
      await call({ method: 'DELETE', path: sandboxPath(id), signal })
    },
    archives: createRunnerArchiveClient({ peer, call, answer }),
    snapshots: createRunnerSnapshotClient({ peer, call, answer }),
    volumes: createRunnerVolumeClient({ call, answer }),
    events: () => openEvents(peer),
  }
}

/** Tells a runner that it is given work from now on. Throws as the client's calls do. */
export async function welcomeRunner(peer: TunnelPeer): Promise<void> {
  await callRunner(peer, { method: 'POST', path: '/ready', signal: undefined })
}

export interface Call {
  method: string
  path: string
  body?: unknown
  signal: AbortSignal | undefined
  /** The default is CALL_TIMEOUT_MS. */
  timeoutMs?: number
}

function sandboxPath(id: string): string {
  return `/sandboxes/${encodeURIComponent(id)}`
}

async function callRunner(
  peer: TunnelPeer,
  { method, path, body, signal, timeoutMs = CALL_TIMEOUT_MS }: Call,
): Promise<unknown> {
  const limits = { timeoutMs, maxResponseBytes: MAX_RESPONSE_BYTES }
  const response = await requestBuffered(
    peer,
    {
      method,
      path,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    },
    signal === undefined ? limits : { ...limits, signal },
  )
  return readAnswer(response.status, response.body.toString('utf8'))
}

async function answer<Schema extends TSchema>(schema: Schema, call: Promise<unknown>): Promise<Static<Schema>> {
  const value = await call
  if (!Value.Check(schema, value)) throw new RunnerCallError(0, 'the runner answered with something unexpected')
  return value
}

async function openEvents(peer: TunnelPeer): Promise<AsyncIterable<RunnerEvent>> {
  const { duplex, response } = openDuplex(peer, { method: 'GET', path: '/events', headers: {} })
  // The reader of the events gets the error; before there is one, nothing needs it.
  duplex.on('error', () => undefined)
  duplex.end()
  const timer = setTimeout(() => {
    duplex.destroy(new TunnelError('DEADLINE_EXCEEDED', `events: no answer within ${CALL_TIMEOUT_MS} ms`))
  }, CALL_TIMEOUT_MS)
  const head = await response.finally(() => clearTimeout(timer))
  if (head.status !== 200) {
    duplex.destroy()
    throw new RunnerCallError(head.status, `events: status ${head.status}`)
  }
  return parseEvents(readLines(duplex, MAX_EVENT_BYTES))
}

async function* parseEvents(lines: AsyncIterable<string>): AsyncGenerator<RunnerEvent> {
  for await (const line of lines) {
    const event = parseJson(line)
    if (!Value.Check(RunnerEvent, event)) throw new RunnerCallError(0, 'the runner sent an unknown event')
    yield event
  }
}
