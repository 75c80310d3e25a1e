import type { LookupAddress } from 'node:dns'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'
import { AppError, TOOLBOX_REFUSAL_HEADER } from '@atoll/protocol'
import type { Headers, IncomingExchange, ResponseHead } from '@atoll/tunnel'
import { toDuplex } from '@atoll/tunnel'
import { refuse } from '../refuse.ts'

/** Both loopback addresses of this sandbox: a server may listen on one only. */
const LOOPBACK: LookupAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]
const CONNECT_DEADLINE_MS = 5_000
/** The time within which a server's answer must begin. */
const ANSWER_DEADLINE_MS = 300_000
const SWITCHING_PROTOCOLS = 101
const MAX_PORT = 65_535
const METHODS_WITH_CHUNKED_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])

/** The prefix of forwarded paths. The port follows, then the path on its server: `/proxy/3000/index.html`. */
export const PROXY_PREFIX = '/proxy/'

/**
 * Passes one exchange on to a server that listens on the sandbox's loopback: any method, bodies as streams with
 * backpressure both ways, upgrades as raw streams. The answer is the server's, or PORT_UNREACHABLE when nothing listens.
 */
export function forwardToPort(exchange: IncomingExchange, now: () => number): void {
  const body = toDuplex(exchange)
  // `close` reports the end in every case.
  body.on('error', () => {})
  const fail = (error: unknown) => {
    refuse({ exchange, error, now: now() })
    body.resume()
  }
  try {
    const { port, path } = parseTarget(exchange.head.path)
    new PortForward(exchange, body, fail).start(port, path)
  } catch (error) {
    fail(error)
  }
}

function parseTarget(target: string): { port: number; path: string } {
  const [, digits = '', rest = ''] = /^\/proxy\/(\d{1,5})(?![^/?])(.*)$/s.exec(target) ?? []
  const port = Number(digits)
  if (port < 1 || port > MAX_PORT) throw new AppError('BAD_REQUEST', `a port must be a number from 1 to ${MAX_PORT}`)
  return { port, path: rest.startsWith('/') ? rest : `/${rest}` }
}

class PortForward {
  private readonly exchange: IncomingExchange
  private readonly body: Duplex
  private readonly fail: (error: unknown) => void
  private answered = false

  constructor(exchange: IncomingExchange, body: Duplex, fail: (error: unknown) => void) {
    this.exchange = exchange
    this.body = body
    this.fail = fail
  }

  start(port: number, path: string): void {
    const { method, headers } = this.exchange.head
    const call = request({
      host: 'localhost',
      port,
      path,
      method,
      headers: serverHeaders(headers, port),
      // Each call has a connection of its own, because servers under development come and go.
      createConnection: () => connectToLoopback(port),
    })
    const deadlines = watch(call)
    this.body.once('close', () => call.destroy())
    call.once('close', deadlines.end)
    call.once('response', (response) => {
      deadlines.end()
      this.answer(response)
    })
    call.once('upgrade', (response: IncomingMessage, socket: Duplex, head: Buffer) => {
      deadlines.end()
      this.join(response, socket, head)
    })
    call.once('error', (error) => this.break(deadlines.late ?? error, port))
    if (asksToUpgrade(headers)) call.end()
    else sendBody(this.body, call)
  }

  private answer(response: IncomingMessage): void {
    this.respond({ status: response.statusCode ?? 502, headers: answerHeaders(response) })
    // A side that breaks off ends the other one.
    pipeline(response, this.body, () => {})
  }

  private join(response: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.respond({ status: SWITCHING_PROTOCOLS, headers: { ...answerHeaders(response), ...upgradeHeader(response) } })
    if (head.length > 0) socket.unshift(head)
    pipeline(socket, this.body, () => {})
    pipeline(this.body, socket, () => {})
  }

  private respond(head: ResponseHead): void {
    this.answered = true
    this.exchange.respond(head)
  }

  private break(error: Error, port: number): void {
    if (this.body.destroyed) return
    if (this.answered) this.body.destroy(error)
    else this.fail(error instanceof AppError ? error : new AppError('PORT_UNREACHABLE', explain(error, port)))
  }
}

/** Ends a call whose connection, or whose answer, is late. */
function watch(call: ClientRequest): { readonly late: AppError | undefined; end: () => void } {
  let late: AppError | undefined
  const over = (message: string) => () => {
    late = new AppError('GATEWAY_TIMEOUT', message)
    call.destroy(late)
  }
  let timer = setTimeout(over('the port took no connection in time'), CONNECT_DEADLINE_MS)
  call.once('socket', (socket) => {
    socket.once('connect', () => {
      clearTimeout(timer)
      timer = setTimeout(over('the server behind the port gave no answer in time'), ANSWER_DEADLINE_MS)
    })
  })
  return {
    get late() {
      return late
    },
    end: () => clearTimeout(timer),
  }
}

/** Sends a body: in chunks if it has no announced length; for methods that seldom have a body, only when there is one. */
function sendBody(body: Duplex, call: ClientRequest): void {
  if (call.hasHeader('content-length') || METHODS_WITH_CHUNKED_BODY.has(call.method)) {
    // The server may want to answer before the body is here.
    call.flushHeaders()
    body.pipe(call)
    return
  }
  body.once('end', () => call.end())
  body.once('data', (chunk: Buffer) => {
    body.pause()
    call.setHeader('transfer-encoding', 'chunked')
    call.write(chunk)
    body.pipe(call)
  })
}

/**
 * Connects to either loopback address, whatever the sandbox's files say of localhost. An address without a server refuses
 * at once, and the other is tried. The time before the other is tried as well is as long as the whole deadline: a short
 * one passes in a process that is kept from running, connected or not.
 */
function connectToLoopback(port: number): Socket {
  return connect({
    host: 'localhost',
    port,
    lookup: (_host, _options, done) => done(null, LOOPBACK),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: CONNECT_DEADLINE_MS,
  })
}

/** Returns the headers for a server. Servers under development accept only localhost; X-Forwarded-Host has the real name. */
function serverHeaders(headers: Headers, port: number): Headers {
  const { host, ...others } = headers
  return {
    ...others,
    host: `localhost:${port}`,
    ...(headers['x-forwarded-host'] === undefined && host !== undefined ? { 'x-forwarded-host': host } : {}),
  }
}

/** Headers that concern one connection only, and the header that only the toolbox may set. */
const WITHHELD: ReadonlySet<string> = new Set([
  TOOLBOX_REFUSAL_HEADER,
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

function answerHeaders(response: IncomingMessage): Headers {
  const headers: Headers = {}
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined && !WITHHELD.has(name)) headers[name] = value
  }
  return headers
}

function upgradeHeader(response: IncomingMessage): Headers {
  return response.headers.upgrade === undefined ? {} : { upgrade: response.headers.upgrade }
}

function asksToUpgrade(headers: Headers): boolean {
  return headers['upgrade'] !== undefined && headers['upgrade'] !== ''
}

function explain(error: Error, port: number): string {
  const codes = error instanceof AggregateError ? error.errors.map(codeOf) : [codeOf(error)]
  return codes.includes('ECONNREFUSED')
    ? `nothing listens on port ${port}`
    : `the server behind port ${port} broke off: ${codes[0] ?? error.message}`
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
