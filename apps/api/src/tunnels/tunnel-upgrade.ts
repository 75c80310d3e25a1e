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
import type { LinkEvent, LinkState } from './link-states.ts'
import { linkTransitions } from './link-states.ts'

/** A bearer of between 16 and 256 characters: shorter is guessable, longer is none of ours. */
const BEARER = /^bearer +([\w+/.~=-]{16,256}) *$/i

/** Tokens let in lately: these may come back however many wrong ones their neighbours try. */
const MAX_KNOWN_TOKENS = 10_000

/** Database lookups for tunnels at a time, so that a flood of connections leaves the pool to the others. */
const MAX_LOOKUPS = 4
/** Twice the sandboxes of a full runner, which all dial at once when the API was away. */
const MAX_WAITING_LOOKUPS = 2_048

/** Who may dial in on one path. */
export interface TunnelEndpoint {
  /** Whom the token with this SHA-256 belongs to: what to do with their tunnel. Undefined for nobody. */
  authenticate(tokenHash: string): Promise<TunnelTaker | undefined>
  /** Whether such a token is waited for at this moment. */
  expects?(tokenHash: string): boolean
  limits?: Partial<TunnelLimits>
}

/** Takes a tunnel whose handshake is done. `sequence` rises with the order in which tokens were presented. */
export type TunnelTaker = (peer: TunnelPeer, sequence: number) => void

export interface TunnelUpgradeOptions {
  /** By path. */
  endpoints: Readonly<Record<string, TunnelEndpoint>>
  proxies: Pick<TrustedProxies, 'clientOf'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Serves one upgrade request; false when its path is none of a tunnel. It then did nothing. */
export type TunnelUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean

/** Lets toolboxes and runners dial in: the token decides, before the upgrade, with plain HTTP when it is refused. */
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
  }

  return (request, socket, head) => {
    const path = pathOf(request.url)
    const endpoint = Object.hasOwn(endpoints, path) ? endpoints[path] : undefined
    if (endpoint === undefined) return false
    // A connection that breaks while its token is looked up has nobody else to tell.
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
        // Let in, it has had its answer: the upgrade, whatever came of it.
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
  /** The token is good. */
  onLetIn: () => void
}

/** Answers who dials in, or throws UNAUTHORIZED, RATE_LIMITED or SERVICE_UNAVAILABLE. */
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
    // What cannot be a token costs nothing to refuse.
    if (token === undefined) throw new AppError('UNAUTHORIZED', 'A tunnel needs a bearer token')
    const tokenHash = createHash('sha256').update(token).digest('hex')
    // Sandboxes behind one socket or address share a source: a hostile one must not lock the others out.
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
