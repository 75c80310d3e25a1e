import type { Channel } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'
import { toDuplex } from '@atoll/tunnel'
import { checkQuery } from '../check-shape.ts'
import type { ChannelHandlersOf } from '../feature.ts'
import type { Log } from '../log.ts'
import { describeError } from '../log.ts'
import { parseQuery, splitTarget } from '../query.ts'
import { describeTarget, refuse } from '../refuse.ts'
import { createRouteTable } from '../route-table.ts'
import { acceptChannel, checkHandshake, offeredSubprotocols } from './accept-channel.ts'
import type { ChannelCall, ChannelHandler } from './channel.ts'
import { createChannelSocket } from './channel-socket.ts'

/** The time within which a channel must be ready. */
const OPEN_DEADLINE_MS = 60_000

interface ChannelRoute {
  readonly channel: Channel
  readonly handler: ChannelHandler<Channel>
}

/** Opens the channel that an exchange asks for, or answers why not. Never throws. */
export function createChannelDispatcher<Channels extends Record<string, Channel>>(options: {
  channels: Channels
  handlers: ChannelHandlersOf<Channels>
  log: Log
  now: () => number
}): (exchange: IncomingExchange) => void {
  const { log, now } = options
  const handlers: Readonly<Record<string, ChannelHandler<never>>> = options.handlers
  const entries = Object.entries(options.channels).map(([name, channel]): [string, ChannelRoute] => [
    channel.path,
    // The input of a handler has passed its channel's schemas, which TypeScript cannot follow through the table.
    { channel, handler: handlers[name] as ChannelHandler<Channel> },
  ])
  const routes = createRouteTable(entries, () => {
    throw new Error('a channel is declared twice')
  })

  return (exchange) => {
    const duplex = toDuplex(exchange)
    // `close` reports the end in every case.
    duplex.on('error', () => {})
    const open = async () => {
      const call = openCall(routes, exchange)
      const opening = await withDeadline(call.handler(call))
      if (duplex.destroyed) return
      const subprotocol = opening.subprotocol ?? call.offered[0]
      opening.attach(createChannelSocket(acceptChannel(exchange, { duplex, subprotocol })))
    }
    open().catch((error: unknown) => {
      if (!(error instanceof AppError)) {
        log.error('channel failed', { target: describeTarget(exchange), error: describeError(error) })
      }
      if (duplex.destroyed) return
      refuse({ exchange, error, now: now() })
      duplex.resume()
    })
  }
}

function openCall(
  routes: ReturnType<typeof createRouteTable<ChannelRoute>>,
  exchange: IncomingExchange,
): ChannelCall<Channel> & ChannelRoute {
  const { path, rawQuery } = splitTarget(exchange.head.path)
  const found = routes.find(path)
  if (found === undefined) throw new AppError('NOT_FOUND', `the toolbox has no WebSocket at ${path.slice(0, 200)}`)
  checkHandshake(exchange)
  const { fields, repeated } = parseQuery(rawQuery)
  return {
    ...found.entry,
    params: found.params,
    query: checkQuery(found.entry.channel.query, fields, repeated),
    queryBytes: (name) => fields.get(name) ?? Buffer.alloc(0),
    headers: exchange.head.headers,
    offered: offeredSubprotocols(exchange.head.headers),
  }
}

/**
 * Throws REQUEST_TIMEOUT for a late handler. NOTE: it may still open a channel that is not used; handlers hold nothing
 * before `attach` but what they would keep anyway.
 */
async function withDeadline<Opening>(opening: Promise<Opening>): Promise<Opening> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new AppError('REQUEST_TIMEOUT', `not ready within ${OPEN_DEADLINE_MS / 1000} s`)),
      OPEN_DEADLINE_MS,
    )
  })
  try {
    return await Promise.race([opening, late])
  } finally {
    clearTimeout(timer)
  }
}
