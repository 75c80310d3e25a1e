import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '@atoll/service'
import type { FastifyInstance } from 'fastify'
import type { UpgradeHandler } from './dial-home-server.ts'
import { listenForToolboxes } from './dial-home-server.ts'
import type { WaitingRoom } from './waiting-room.ts'

export interface ListenersOptions {
  app: FastifyInstance
  config: { readonly host: string; readonly port: number; readonly dialHomeDir: string | undefined }
  /** Handles upgrades on the public port. */
  upgrade: UpgradeHandler
  /** Handles upgrades on the socket that sandboxes dial. */
  dialHomeUpgrade: UpgradeHandler
  /** Where connections of sandboxes wait until `dialHomeUpgrade` lets them stay. */
  waitingRoom: WaitingRoom
  log: Logger
  now: () => number
}

/** The API's two entries: the public port, and the socket that this host's sandboxes dial. */
export interface Listeners {
  /** Opens both and returns the public URL. Throws one line that names the port or socket that is taken. */
  open(): Promise<string>
  /** Stops accepting connections and closes idle ones. */
  refuseNew(): void
  /** Closes the connections that are still open. */
  dropAll(): Promise<void>
}

export function createListeners(options: ListenersOptions): Listeners {
  const { app, config, upgrade, dialHomeUpgrade, log } = options
  let dialHome: Server | undefined
  let closing: Promise<unknown> = Promise.resolve()
  app.server.on('upgrade', upgrade)
  return {
    async open() {
      if (config.dialHomeDir !== undefined) {
        const { waitingRoom, now } = options
        dialHome = await listenForToolboxes({ dir: config.dialHomeDir, upgrade: dialHomeUpgrade, waitingRoom, now })
      }
      try {
        await app.listen({ host: config.host, port: config.port })
      } catch (error) {
        throw explain(error, config)
      }
      return publicUrl(config.host, app.server.address())
    },
    refuseNew() {
      dialHome?.close()
      closing = app.close().then(undefined, (error: unknown) => log.error({ err: error }, 'cannot close the server'))
    },
    async dropAll() {
      dialHome?.closeAllConnections()
      app.server.closeAllConnections()
      await closing
    },
  }
}

function explain(error: unknown, { host, port }: { host: string; port: number }): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return new Error(`port ${port} on ${host} is in use`, { cause: error })
  if (code === 'EACCES') return new Error(`port ${port} on ${host} may not be opened by this user`, { cause: error })
  if (code === 'EADDRNOTAVAIL') return new Error(`${host} is no address of this machine`, { cause: error })
  return error
}

/** Returns the URL by which this machine reaches the port. */
function publicUrl(host: string, address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') throw new Error('the server listens on no port')
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${address.port}`
}
