import type { Channel, ParamsOf, QueryOf } from '@atoll/protocol'
import type { Headers } from '@atoll/tunnel'
import type { ChannelSocket } from './channel-socket.ts'

/** One request for a WebSocket, parsed and checked against its declaration. */
export interface ChannelCall<C extends Channel> {
  /** The parameters of the path, percent-decoded. */
  readonly params: ParamsOf<C>
  readonly query: QueryOf<C>
  /** The bytes a query value arrived as. Empty when the value is absent. */
  queryBytes(name: keyof QueryOf<C> & string): Buffer
  readonly headers: Headers
  /** The subprotocols the client offers, in its order. */
  readonly offered: readonly string[]
}

/** A channel that a handler has made ready. */
export interface ChannelOpening {
  /** One of the offered subprotocols; absent: the first of them. */
  readonly subprotocol?: string
  /** Takes the open socket and adds its listeners synchronously, so that no message is missed. */
  attach(socket: ChannelSocket): void
}

/** Opens one channel. Throws AppError for the answer that the client should get instead of the upgrade. */
export type ChannelHandler<C extends Channel> = (call: ChannelCall<C>) => Promise<ChannelOpening>

/** Browsers cannot set headers, so the SDKs offer theirs as a subprotocol: `X-Daytona-SDK-Version~0.218.0`. */
const VERSION_SUBPROTOCOL = /^x-daytona-sdk-version~(.*)$/i

/** Returns the version that the SDK names, if any. §2 of the contract. */
export function sdkVersion(headers: Headers, offered: readonly string[] = []): string | undefined {
  const header = headers['x-daytona-sdk-version']
  if (typeof header === 'string') return header
  return offered.flatMap((protocol) => VERSION_SUBPROTOCOL.exec(protocol)?.[1] ?? [])[0]
}
