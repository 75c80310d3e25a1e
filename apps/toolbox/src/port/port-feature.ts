import { AppError, FIRST_APP_PORT, LAST_APP_PORT, type portOperations } from '@atoll/protocol'
import type { Feature } from '../feature.ts'
import { forwardToPort, PROXY_PREFIX } from './forward-to-port.ts'
import { readTcpListeners } from './tcp-listeners.ts'

/** Lists the ports that programs listen on, and forwards exchanges to their servers. */
export function createPortFeature(): Feature<typeof portOperations> {
  return {
    handlers: {
      listPorts: async () => {
        const listeners = await readTcpListeners()
        const ports = new Set(listeners.map(({ port }) => port).filter(isAppPort))
        return { ports: [...ports], listeners }
      },
      isPortInUse: async ({ params }) => {
        const port = /^\d{4}$/.test(params.port) ? Number(params.port) : Number.NaN
        if (!isAppPort(port)) {
          throw new AppError('BAD_REQUEST', `port must be a number from ${FIRST_APP_PORT} to ${LAST_APP_PORT}`)
        }
        const listeners = await readTcpListeners()
        return { isInUse: listeners.some((listener) => listener.port === port) }
      },
    },
    raw: { prefix: PROXY_PREFIX, handle: (exchange) => forwardToPort(exchange, Date.now) },
  }
}

function isAppPort(port: number): boolean {
  return port >= FIRST_APP_PORT && port <= LAST_APP_PORT
}
