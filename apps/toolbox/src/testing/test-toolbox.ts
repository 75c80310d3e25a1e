import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BufferedResponse, Headers, IncomingExchange, TunnelPeer } from '@atoll/tunnel'
import { createPeer, requestBuffered } from '@atoll/tunnel'
import { createMemoryLinkPair } from '@atoll/tunnel/testing'
import { createClaimGate } from '../claim-gate.ts'
import { createCommandEnvironment } from '../command-environment.ts'
import { createDispatcher } from '../dispatcher.ts'
import type { Features } from '../features.ts'
import { createFeatures } from '../features.ts'
import { createOutputPipes } from '../process/output-pipes.ts'
import type { ProcessGroups } from '../process/process-groups.ts'
import { createProcessGroups } from '../process/process-groups.ts'
import { createWorkDirectory } from '../work-directory.ts'

/** The deadline of a call, which may start several processes on a busy machine. */
const CALL_DEADLINE_MS = 60_000
/** Short, because the tests' stubborn processes need SIGKILL anyway. */
const KILL_GRACE_MS = 100
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024

export interface CallOptions {
  query?: Record<string, string | Buffer>
  headers?: Headers
  body?: Buffer | string
  json?: unknown
  signal?: AbortSignal
  /** Absent: 60 s. */
  timeoutMs?: number
}

/** A toolbox's real handlers at one end of a real tunnel in memory, with a folder of its own to work in. */
export interface TestToolbox extends AsyncDisposable {
  /** The work directory. */
  readonly folder: string
  /** The API's end of the tunnel. */
  readonly peer: TunnelPeer
  readonly groups: ProcessGroups
  readonly features: Features
  /** Resolves when the toolbox's end of the tunnel is over. */
  readonly linkClosed: Promise<unknown>
  /** Error lines the toolbox logged. */
  readonly errors: string[]
  /** Resolves when every upload handler has ended, answered or not. */
  uploadsEnded(): Promise<void>
  call(method: string, path: string, options?: CallOptions): Promise<BufferedResponse>
}

export async function createTestToolbox(
  env: Record<string, string> = {},
  entrypoint?: readonly string[],
  awaitsClaim = false,
): Promise<TestToolbox> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-toolbox-'))
  const groups = createProcessGroups({ graceMs: KILL_GRACE_MS })
  const environment = createCommandEnvironment({ PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: folder, ...env })
  const commandEnv = environment.values
  const pipes = createOutputPipes(commandEnv)
  const work = createWorkDirectory({ dir: folder, home: folder })
  const errors: string[] = []
  const log = {
    info() {},
    error: (message: string, fields?: unknown) => errors.push(`${message} ${JSON.stringify(fields)}`),
  }
  const gate = createClaimGate({ awaitsClaim, environment, log })
  const features = createFeatures({
    work,
    groups,
    pipes,
    environment,
    commandEnv,
    entrypoint,
    claimed: gate.claimed,
    log,
  })
  const { handlers } = features
  const uploads = new Set<Promise<unknown>>()
  const uploadFile: typeof handlers.uploadFile = (call) => {
    const upload = handlers.uploadFile(call)
    uploads.add(upload)
    return upload
  }
  const dispatcher = createDispatcher({
    features: { ...features, handlers: { ...handlers, uploadFile } },
    log,
  })
  const { peer, toolboxEnd } = await connect((exchange) => gate.handle(exchange, dispatcher))
  return {
    folder,
    peer,
    groups,
    features,
    linkClosed: toolboxEnd.whenClosed,
    errors,
    async uploadsEnded() {
      await Promise.allSettled(uploads)
    },
    call: (method, path, options = {}) => callPeer(peer, { method, path, ...options }),
    async [Symbol.asyncDispose]() {
      peer.close()
      toolboxEnd.close()
      await Promise.all([groups[Symbol.asyncDispose](), features[Symbol.asyncDispose]()])
      pipes[Symbol.dispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Makes one call through a tunnel, as the API does. */
export function callPeer(
  peer: TunnelPeer,
  call: CallOptions & { method: string; path: string },
): Promise<BufferedResponse> {
  const body = call.json === undefined ? call.body : JSON.stringify(call.json)
  return requestBuffered(
    peer,
    {
      method: call.method,
      path: target(call.path, call.query),
      headers: call.headers ?? {},
      ...(body === undefined ? {} : { body }),
    },
    {
      timeoutMs: call.timeoutMs ?? CALL_DEADLINE_MS,
      maxResponseBytes: MAX_RESPONSE_BYTES,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    },
  )
}

/** Returns a request target whose query values are percent-encoded byte by byte. */
export function target(path: string, query: Record<string, string | Buffer> = {}): string {
  const fields = Object.entries(query).map(([name, value]) => `${name}=${percentEncode(Buffer.from(value))}`)
  return fields.length === 0 ? path : `${path}?${fields.join('&')}`
}

function percentEncode(bytes: Buffer): string {
  return [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
}

/** Returns the parsed body of an answer. */
export function bodyOf(response: BufferedResponse): Record<string, unknown> {
  const value: unknown = JSON.parse(response.body.toString())
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
}

async function connect(onRequest: (exchange: IncomingExchange) => void) {
  const [near, far] = createMemoryLinkPair()
  const toolboxEnd = createPeer(near, { role: 'dialler', onRequest })
  const peer = createPeer(far, { role: 'listener' })
  await Promise.all([toolboxEnd.ready, peer.ready])
  return { peer, toolboxEnd }
}
