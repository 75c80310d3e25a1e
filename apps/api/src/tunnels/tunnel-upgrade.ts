import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { TunnelLimits, TunnelPeer } from '@atoll/tunnel'
import { acceptTunnel, createTunnelServer, TunnelError } from '@atoll/tunnel'
import { LRUCache } from 'lru-cache'
import { pathOf } from '../http/error-handler.ts'
import { createFailureLimiter } from '../http/failure-limiter.ts'
import type { TrustedProxies } from '../http/trusted-proxies.ts'
import { createTurnstile } from '../http/turnstile.ts'
import { refuseUpgrade } from '../http/upgrades.ts'
import type { WaitingRoom } from '../http/waiting-room.ts'
import type { LinkEvent, LinkState } from './link-states.ts'
import { linkTransitions } from './link-states.ts'

/** A bearer of 16 to 256 characters: shorter ones could be guessed, and Atoll makes no longer ones. */
const BEARER = /^bearer +([\w+/.~=-]{16,256}) *$/i

/** The most remembered tokens that were accepted lately: they work however many wrong ones come from the same source. */
const MAX_KNOWN_TOKENS = 10_000

/** The most simultaneous database lookups for tunnels, so that a flood of connections leaves the pool to other work. */
const MAX_LOOKUPS = 4
/** Twice the sandboxes of a full runner, which all dial at once when the API comes back. */
const MAX_WAITING_LOOKUPS = 2_048

/** Decides who may dial in on one path. */
export interface TunnelEndpoint {
  /** Returns the function that takes the tunnel of the token with this SHA-256; undefined for an unknown token. */
  authenticate(tokenHash: string): Promise<TunnelTaker | undefined>
  /** Whether a caller waits for a connection with this token now. */
  expects?(tokenHash: string): boolean
  limits?: Partial<TunnelLimits>
}

/** Takes a tunnel whose handshake is done. `sequence` rises in the order in which tokens were presented. */
export type TunnelTaker = (peer: TunnelPeer, sequence: number) => void

export interface TunnelUpgradeOptions {
  /** The endpoints by path. */
  endpoints: Readonly<Record<string, TunnelEndpoint>>
  proxies: Pick<TrustedProxies, 'clientOf'>
  /** Loses each connection whose tunnel stands. */
  waitingRoom: Pick<WaitingRoom, 'leave'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Serves one request to upgrade. Returns false, and does nothing, when its path is not that of a tunnel. */
export type TunnelUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean

/** Admits toolboxes and runners by their token. The check comes before the upgrade, and a refusal is plain HTTP. */
export function createTunnelUpgrade(options: TunnelUpgradeOptions): TunnelUpgrade {
  const { endpoints, log } = options
  const server = createTunnelServer()
  const gate = createGate(options)
  let sequence = 0

  async function accept(endpoint: TunnelEndpoint, request: IncomingMessage, upgrade: Upgrade): Promise<void> {
    sequence += 1
    const mine = sequence
    const take = await gate(endpoint, request)
    upgrade.onLetIn()
    const { limits } = endpoint
    const { socket, head } = upgrade
    const peer = await acceptTunnel(server, { req: request, socket, head }, limits === undefined ? {} : { limits })
    take(peer, mine)
    options.waitingRoom.leave(socket)
  }

  return (request, socket, head) => {
    const path = pathOf(request.url)
    const endpoint = Object.hasOwn(endpoints, path) ? endpoints[path] : undefined
    if (endpoint === undefined) return false
    // A connection that breaks while its token is looked up is simply closed.
    const onError = () => socket.destroy()
    socket.on('error', onError)
    let state: LinkState = 'asking'
    const apply = (event: LinkEvent) => {
      state = linkTransitions[state][event]
    }
    accept(endpoint, request, { socket, head, onLetIn: () => apply('let_in') })
      .catch((error: unknown) => {
        apply('refuse')
        if (state === 'refused') refuse(error)
        // An admitted connection has had its answer, the upgrade, even if that failed.
        else if (error instanceof TunnelError) log.debug({ err: error, path }, 'no tunnel came about')
        else log.error({ err: error, path }, 'a tunnel that was let in failed')
      })
      .finally(() => socket.off('error', onError))
    return true

    function refuse(error: unknown): void {
      const known = error instanceof AppError
      if (!known) log.error({ err: error, path }, 'a tunnel could not be let in')
      refuseUpgrade(request, socket, known ? error : new AppError('SERVICE_UNAVAILABLE', 'Try again later'))
    }
  }
}

interface Upgrade {
  socket: Duplex
  head: Buffer
  /** Called when the token is valid. */
  onLetIn: () => void
}

/** Creates the gate, which returns the taker of a connection, or throws UNAUTHORIZED, RATE_LIMITED or SERVICE_UNAVAILABLE. */
function createGate({ proxies, now }: Pick<TunnelUpgradeOptions, 'proxies' | 'now'>) {
  const limiter = createFailureLimiter(now)
  const known = new LRUCache<string, true>({ max: MAX_KNOWN_TOKENS })
  const turn = createTurnstile({
    max: MAX_LOOKUPS,
    maxWaiting: MAX_WAITING_LOOKUPS,
    refusal: 'Too many tunnels at once',
  })

  return async (endpoint: TunnelEndpoint, request: IncomingMessage): Promise<TunnelTaker> => {
    const token = BEARER.exec(request.headers.authorization ?? '')?.[1]
    // A header that holds no token is refused without a lookup.
    if (token === undefined) throw new AppError('UNAUTHORIZED', 'A tunnel needs a bearer token')
    const tokenHash = createHash('sha256').update(token).digest('hex')
    // Sandboxes behind one socket or address share a source, so a valid token must pass even when a hostile sandbox has
    // used up the limit.
    const source = proxies.clientOf(request) ?? 'local'
    const expected = known.has(tokenHash) || endpoint.expects?.(tokenHash) === true
    if (!expected && !limiter.allows(source)) throw new AppError('RATE_LIMITED', 'Too many wrong tokens')
    const take = await turn(() => endpoint.authenticate(tokenHash))
    if (take === undefined) {
      limiter.failed(source)
      known.delete(tokenHash)
      throw new AppError('UNAUTHORIZED', 'Unknown token')
    }
    known.set(tokenHash, true)
    return take
  }
}
