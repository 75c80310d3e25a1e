import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { Server as EngineServer } from 'engine.io'
import type { Socket } from 'socket.io'
import { Server } from 'socket.io'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Authorizer } from '../auth/authorizer.ts'
import { PRINCIPAL_CHANNEL } from '../auth/principal.ts'
import { SIGN_IN_CHANNEL } from '../auth/token-verifier.ts'
import type { DatabaseListener } from '../database/listener.ts'
import { pathOf } from '../http/error-handler.ts'
import type { TrustedProxies } from '../http/trusted-proxies.ts'
import { refuseUpgrade } from '../http/upgrades.ts'
import type { SandboxPresenter } from '../sandboxes/sandbox-presenter.ts'
import { clientEvents } from './client-events.ts'
import type { Identify } from './credential-recheck.ts'
import { createCredentialRecheck } from './credential-recheck.ts'
import type { Introduction } from './event-rooms.ts'
import { createEventRooms } from './event-rooms.ts'
import type { ResourceEvent } from './resource-event.ts'

const EVENTS_PATH = '/api/socket.io/'

/** The most connections at a time. */
const MAX_CONNECTIONS = 10_000
/** Clients send only their credentials, within this time. */
const MAX_MESSAGE_BYTES = 16 * 1024
const INTRODUCTION_DEADLINE_MS = 10_000
const PING_INTERVAL_MS = 25_000
const PING_TIMEOUT_MS = 20_000
/** The listeners of an expired credential are disconnected within this time; those of a revoked one at once. */
const RECHECK_INTERVAL_MS = 60_000

export interface EventSocketsOptions {
  authenticator: Authenticator
  authorizer: Authorizer
  listener: Pick<DatabaseListener, 'subscribe'>
  proxies: Pick<TrustedProxies, 'clientOf'>
  presenter: Pick<SandboxPresenter, 'toolboxProxyUrl'>
  log: Logger
}

/** The Socket.IO endpoint (§20.6 of the contract): clients listen to the events of an organization. */
export interface EventSockets extends AsyncDisposable {
  /** Takes over a request to upgrade for this endpoint; returns false for any other. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
  isHeard(organizationId: string): boolean
  deliver(event: ResourceEvent, resource: object): void
  /** The number of listeners on this replica. */
  readonly size: number
}

/** Creates the endpoint. Subscribes to revocations after the authenticator has; call it before the listener starts. */
export function createEventSockets(options: EventSocketsOptions): EventSockets {
  const { log } = options
  const { engine, server } = openServer()
  const rooms = createEventRooms()
  const identify = createIdentify(options)
  const recheck = createCredentialRecheck(rooms, identify, log)
  const timer = setInterval(recheck, RECHECK_INTERVAL_MS)
  timer.unref()
  let revocations = 0
  const onRevocation = () => {
    revocations += 1
    recheck()
  }
  for (const channel of [PRINCIPAL_CHANNEL, SIGN_IN_CHANNEL]) {
    options.listener.subscribe(channel, { onNotify: onRevocation, onListening: onRevocation })
  }

  async function admit(socket: Socket): Promise<void> {
    const introduced = { ...introduction(socket), address: options.proxies.clientOf(socket.request) }
    const revocationsBefore = revocations
    const organizationId = await identify(introduced)
    const { headers, socket: connection } = socket.request
    const toolboxProxyUrl = options.presenter.toolboxProxyUrl({ headers, socket: connection })
    if (!rooms.join(socket, { ...introduced, organizationId, toolboxProxyUrl })) {
      throw new AppError('RATE_LIMITED', 'Too many listen to this organization')
    }
    // The credential may have been revoked while it was checked.
    if (revocations !== revocationsBefore) recheck()
    socket.onAny(() => socket.disconnect(true))
  }

  server.use((socket, next) => {
    admit(socket).then(
      () => next(),
      (error: unknown) => next(new Error(error instanceof AppError ? error.message : 'Try again later')),
    )
  })

  return {
    get size() {
      return rooms.size
    },
    isHeard: rooms.isHeard,
    upgrade(request, socket, head) {
      if (pathOf(request.url) !== EVENTS_PATH) return false
      socket.on('error', () => socket.destroy())
      try {
        // The library stores its own data in the same request object.
        engine.handleUpgrade(request as Parameters<EngineServer['handleUpgrade']>[0], socket, head)
      } catch (error) {
        log.info({ err: error }, 'no listener came about')
        refuseUpgrade(request, socket, new AppError('BAD_REQUEST', 'Not a Socket.IO client'))
      }
      return true
    },
    deliver(event, resource) {
      for (const { socket, listening } of rooms.of(event.organizationId)) {
        const { toolboxProxyUrl } = listening
        const shown = event.kind === 'sandbox' ? { ...resource, toolboxProxyUrl } : resource
        for (const { name, payload } of clientEvents(event, shown)) socket.emit(name, payload)
        rooms.cutOffIfSlow(socket)
      }
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await server.close()
    },
  }
}

function openServer(): { engine: EngineServer; server: Server } {
  const engine = new EngineServer({
    transports: ['websocket'],
    maxHttpBufferSize: MAX_MESSAGE_BYTES,
    pingInterval: PING_INTERVAL_MS,
    pingTimeout: PING_TIMEOUT_MS,
    perMessageDeflate: false,
    allowRequest: (_request, decide) => decide(null, engine.clientsCount < MAX_CONNECTIONS),
  })
  const server = new Server({ connectTimeout: INTRODUCTION_DEADLINE_MS, serveClient: false })
  return { engine, server: server.bind(engine) }
}

function introduction({ handshake }: Socket): Omit<Introduction, 'address'> {
  const { token }: { token?: unknown } = handshake.auth
  const { organizationId } = handshake.query
  return {
    token: typeof token === 'string' ? token : '',
    named: typeof organizationId === 'string' ? organizationId : undefined,
  }
}

function createIdentify({ authenticator, authorizer }: EventSocketsOptions): Identify {
  return async ({ token, named, address }) => {
    const caller = await authenticator.authenticate(`Bearer ${token}`, address)
    const principal = await authorizer.authorize(caller, 'membership', { inHeader: named })
    if (principal === undefined) throw new AppError('FORBIDDEN', 'No organization')
    return principal.organizationId
  }
}
